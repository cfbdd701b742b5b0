"""CORS: which browser pages may call the gateway."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.hosts import HostPolicy

USUAL_PORTS = {"http": 80, "https": 443}

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

    def __init__(self, origins: Iterable[str], external_url: str, hosts: HostPolicy) -> None:
        """`origins` are those of other pages that may call; `hosts` are the names of the plane itself."""
        self._listed = frozenset(filter(None, map(normalize_origin, origins)))
        self._public = normalize_origin(external_url)
        self._hosts = hosts

    def allows(self, origin: str, own_url: str) -> bool:
        """Whether pages of `origin` may call: those of a listed origin, and of the plane itself."""
        return origin in self._listed or self.is_own(origin, own_url)

    def is_own(self, origin: str, own_url: str) -> bool:
        """Whether pages of `origin` are the plane's own: they have its public URL, or that of the request.

        A foreign name can resolve to this machine (DNS rebinding), so the host of the request counts only if it is one
        of the plane's.
        """
        if not origin:
            return False
        if origin == self._public:
            return True
        return origin == normalize_origin(own_url) and self._hosts.allows(urlsplit(own_url).netloc.encode("latin-1"))

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


def normalize_origin(url: str) -> str:
    """Return the origin of a URL as browsers send it: in lower case, without the usual port. Empty if it has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if not parts.scheme or not host:
        return ""
    name = f"[{host}]" if ":" in host else host
    return (
        f"{parts.scheme}://{name}"
        if port in {None, USUAL_PORTS.get(parts.scheme)}
        else f"{parts.scheme}://{name}:{port}"
    )
