"""Credentials of a request: a bearer, or the cookie of a browser session with its CSRF token."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.errors import MissingCsrfToken

BEARER_SCHEME = b"bearer "
"""The scheme in lower case, and the first of the spaces that follow it."""

SESSION_COOKIE = "molecule_session"

MAX_SESSION_LENGTH = 64
"""Characters of a cookie that are read; a session is shorter."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so they need no CSRF token."""

HeaderItems = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a request. A session counts only without a bearer."""

    bearer: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)


def read_credential(method: str, headers: HeaderItems) -> Credential:
    """Return the credential of a request.

    Raises `MissingCsrfToken` for a session without a CSRF token, except with a safe method.
    """
    found = list(headers)
    bearer = parse_bearer(found)
    if bearer is not None:
        return Credential(bearer)
    session = parse_session(found)
    if session is not None and method not in SAFE_METHODS and not _has_csrf_token(found, session):
        raise MissingCsrfToken
    return Credential(session=session)


def parse_bearer(headers: HeaderItems) -> str | None:
    """Return the bearer of the first Authorization header; `None` without one or with another scheme."""
    for name, value in headers:
        if name == b"authorization":
            return parse_bearer_value(value)
    return None


def parse_bearer_value(value: bytes) -> str | None:
    """Return the bearer of an Authorization header; `None` for another scheme. A scheme may have any case."""
    if value[: len(BEARER_SCHEME)].lower() != BEARER_SCHEME:
        return None
    return value[len(BEARER_SCHEME) :].decode("latin-1").strip() or None


def parse_claimed_workspace(headers: HeaderItems) -> str:
    """Return the workspace that the caller claims to be, by the first X-Workspace-ID header; empty without one."""
    for name, value in headers:
        if name == b"x-workspace-id":
            return value.decode("latin-1").strip().lower()
    return ""


def hash_credential(secret: str) -> bytes:
    """Return the digest that stands for a credential; the time that a comparison takes reveals nothing of it."""
    return hashlib.sha256(secret.encode()).digest()


def parse_session(headers: HeaderItems) -> str | None:
    """Return the session of the first session cookie; `None` without one."""
    for name, value in headers:
        if name == b"cookie" and SESSION_COOKIE.encode() in value:
            for pair in value.decode("latin-1").split(";"):
                key, _, text = pair.strip().partition("=")
                if key == SESSION_COOKIE and text:
                    return text[:MAX_SESSION_LENGTH]
    return None


def derive_csrf_token(session: str) -> str:
    """Return the CSRF token of a session; the session cannot be derived from it."""
    mac = hmac.digest(session.encode(), b"molecule csrf token", "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def render_session_cookie(session: str, *, seconds: int, secure: bool) -> str:
    """Return the Set-Cookie header of a session: pages cannot read the cookie, other sites cannot send it."""
    protection = "HttpOnly; SameSite=Strict; Secure" if secure else "HttpOnly; SameSite=Strict"
    return f"{SESSION_COOKIE}={session}; Path=/; Max-Age={seconds}; {protection}"


CLEAR_SESSION_COOKIE = f"{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
"""The Set-Cookie header that deletes the session."""


def _has_csrf_token(headers: HeaderItems, session: str) -> bool:
    token = next((value for name, value in headers if name == b"x-csrf-token"), b"")
    return hmac.compare_digest(token, derive_csrf_token(session).encode())
