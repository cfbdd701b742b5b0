"""X-Forwarded headers: the address of the client and the URL of the plane, read from trusted proxies only."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.types import Scope

HOST_PATTERN = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
"""A Host header that may appear in answers: in URLs, and in commands that people paste."""


class ProxyHeaders:
    """Reads the address of the client and the URL of the plane from a request."""

    def __init__(self, trusted: Iterable[IPv4Network | IPv6Network], external_url: str) -> None:
        self._trusted = tuple(trusted)
        self._external_url = external_url

    def client_address(self, scope: Scope) -> str:
        """Return the address of the client: the last one before the trusted proxies."""
        peer = _peer_address(scope)
        if not self._trusts(peer):
            return peer
        for hop in reversed(_all_header_values(scope, b"x-forwarded-for").split(",")):
            address = hop.strip()
            if not address:
                break
            peer = address
            if not self._trusts(address):
                break
        return peer

    def base_url(self, scope: Scope) -> str:
        """Return the public URL of the plane, without a final `/`."""
        return self._external_url or self.request_url(scope)

    def request_url(self, scope: Scope) -> str:
        """Return the scheme and host of the request."""
        scheme, host = str(scope["scheme"]), _first_header_value(scope, b"host")
        if self.trusts_peer(scope):
            scheme = _first_header_value(scope, b"x-forwarded-proto") or scheme
            host = _first_header_value(scope, b"x-forwarded-host") or host
        if scheme not in HTTP_SCHEMES:
            scheme = "http"
        if not HOST_PATTERN.fullmatch(host):
            host = _listen_address(scope)
        return f"{scheme}://{host}"

    def trusts_peer(self, scope: Scope) -> bool:
        """Whether the request comes from a trusted proxy."""
        return self._trusts(_peer_address(scope))

    def _trusts(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._trusted)


HTTP_SCHEMES = frozenset({"http", "https"})


def _peer_address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _listen_address(scope: Scope) -> str:
    server = scope.get("server")
    return f"{server[0]}:{server[1]}" if server else "localhost"


def _first_header_value(scope: Scope, wanted: bytes) -> str:
    value = next((value for name, value in scope["headers"] if name == wanted), b"")
    return str(value.decode("latin-1")).split(",")[0].strip()


def _all_header_values(scope: Scope, wanted: bytes) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == wanted)
