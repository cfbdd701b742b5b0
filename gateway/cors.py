"""Which browser pages may call."""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"

REQUEST_HEADERS = (
    "Origin, Content-Type, Authorization, X-CSRF-Token, X-Workspace-ID, X-Timeout, X-Request-Id, "
    "Last-Event-ID, Prefer, A2A-Version, A2A-Extensions"
)

EXPOSED = (
    "X-Request-Id, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Molecule-Overhead-Ms"
)

REMEMBERED = "600"
"""Seconds that a browser may remember a preflight."""

Headers = list[tuple[bytes, bytes]]


class Cors:
    """Judges the Origin header."""

    def __init__(self, origins: Iterable[str], external_url: str) -> None:
        self._origins = frozenset(origins) | ({_origin(external_url)} if external_url else set())

    def allows(self, origin: str, own_url: str) -> bool:
        """Whether pages of `origin` may call.

        A page of the plane itself may. The Host header alone does not prove that: a foreign name can be made to
        resolve to this machine. So a plane that is not told its name believes only hosts that are no names.
        """
        return origin in self._origins or (origin == own_url and _is_no_name(own_url))

    def answer_headers(self, origin: str) -> Headers:
        """What every answer to an allowed page carries."""
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED.encode()),
            (b"vary", b"Origin"),
        ]

    def preflight_headers(self) -> dict[str, str]:
        """What the answer to a preflight carries besides."""
        return {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": REMEMBERED,
        }


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_no_name(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or bool(ip_address(host))
    except ValueError:
        return False
