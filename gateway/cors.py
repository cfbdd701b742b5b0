"""CORS: which browser pages may call the gateway."""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"

ALLOWED_HEADERS = (
    "Origin, Content-Type, Authorization, X-CSRF-Token, X-Workspace-ID, X-Timeout, X-Request-Id, "
    "Last-Event-ID, Prefer, A2A-Version, A2A-Extensions"
)

EXPOSED_HEADERS = (
    "X-Request-Id, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Molecule-Overhead-Ms, "
    "Link"
)

PREFLIGHT_MAX_AGE_SECONDS = "600"

RawHeaders = list[tuple[bytes, bytes]]


class CorsPolicy:
    """Checks the Origin header."""

    def __init__(self, origins: Iterable[str], external_url: str) -> None:
        self._origins = frozenset(origins) | ({_origin_of_url(external_url)} if external_url else set())

    def allows(self, origin: str, own_url: str) -> bool:
        """Whether pages of `origin` may call.

        Pages of the plane itself may. The Host header does not prove that a page is one of them, because a foreign
        name can resolve to this machine (DNS rebinding). So without a public URL, only localhost and IP literals count
        as the plane's own origin.
        """
        return origin in self._origins or (origin == own_url and _has_local_or_literal_host(own_url))

    def answer_headers(self, origin: str) -> RawHeaders:
        """Return the headers of every response to an allowed page."""
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED_HEADERS.encode()),
            (b"vary", b"Origin"),
        ]

    def preflight_headers(self) -> dict[str, str]:
        """Return the additional headers of the response to a preflight."""
        return {
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": PREFLIGHT_MAX_AGE_SECONDS,
        }


def _origin_of_url(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _has_local_or_literal_host(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or bool(ip_address(host))
    except ValueError:
        return False
