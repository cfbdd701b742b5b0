"""What a request shows: a bearer, or the cookie of a browser session together with its CSRF token."""

import base64
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.authentication import parse_bearer
from gateway.errors import MissingCsrfToken

SESSION_COOKIE = "molecule_session"

MAX_SESSION_LENGTH = 64
"""Characters of a cookie's value that are looked at: more than any session has."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that nobody gains by having somebody else's browser send them."""

HeaderItems = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request shows. A session counts where there is no bearer."""

    bearer: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)


def read_credential(method: str, headers: HeaderItems) -> Credential:
    """What the request shows; raises `MissingCsrfToken` where a browser may have been made to send it."""
    found = list(headers)
    bearer = parse_bearer(found)
    if bearer is not None:
        return Credential(bearer)
    session = parse_session(found)
    if session is not None and method not in SAFE_METHODS and not _has_csrf_token(found, session):
        raise MissingCsrfToken
    return Credential(session=session)


def parse_session(headers: HeaderItems) -> str | None:
    """The session in the first cookie of its name; `None` where there is none."""
    for name, value in headers:
        if name == b"cookie" and SESSION_COOKIE.encode() in value:
            for pair in value.decode("latin-1").split(";"):
                key, _, text = pair.strip().partition("=")
                if key == SESSION_COOKIE and text:
                    return text[:MAX_SESSION_LENGTH]
    return None


def derive_csrf_token(session: str) -> str:
    """What a page has to send along: it follows from the session, and tells nothing of it."""
    mac = hmac.digest(session.encode(), b"molecule csrf token", "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def render_session_cookie(session: str, *, seconds: int, secure: bool) -> str:
    """The header that gives a browser its session: no page can read it, no other site can send it."""
    protection = "HttpOnly; SameSite=Strict; Secure" if secure else "HttpOnly; SameSite=Strict"
    return f"{SESSION_COOKIE}={session}; Path=/; Max-Age={seconds}; {protection}"


CLEAR_SESSION_COOKIE = f"{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
"""The header that takes a session from a browser."""


def _has_csrf_token(headers: HeaderItems, session: str) -> bool:
    told = next((value for name, value in headers if name == b"x-csrf-token"), b"")
    return hmac.compare_digest(told, derive_csrf_token(session).encode())
