"""Where a request comes from and goes to, as far as trusted proxies may be believed about it."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.types import Scope

HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
"""A Host header that may stand in an answer: it ends up in addresses, and in commands that people paste."""


class Forwarded:
    """Reads the address of the client and the address of the plane from a request."""

    def __init__(self, trusted: Iterable[IPv4Network | IPv6Network], external_url: str) -> None:
        self._trusted = tuple(trusted)
        self._external_url = external_url

    def client(self, scope: Scope) -> str:
        """The address of the client: the last one in front of the trusted proxies."""
        peer = _peer(scope)
        if not self._trusts(peer):
            return peer
        for hop in reversed(_all_of(scope, b"x-forwarded-for").split(",")):
            address = hop.strip()
            if not address:
                break
            peer = address
            if not self._trusts(address):
                break
        return peer

    def base_url(self, scope: Scope) -> str:
        """The public address of the plane, without a final `/`."""
        return self._external_url or self.own_url(scope)

    def own_url(self, scope: Scope) -> str:
        """The scheme and host that the client asked for."""
        scheme, host = str(scope["scheme"]), _first_of(scope, b"host")
        if self._trusts(_peer(scope)):
            scheme = _first_of(scope, b"x-forwarded-proto") or scheme
            host = _first_of(scope, b"x-forwarded-host") or host
        return f"{scheme if scheme in SCHEMES else 'http'}://{host if HOST.fullmatch(host) else _bound(scope)}"

    def _trusts(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._trusted)


SCHEMES = frozenset({"http", "https"})


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _bound(scope: Scope) -> str:
    server = scope.get("server")
    return f"{server[0]}:{server[1]}" if server else "localhost"


def _first_of(scope: Scope, wanted: bytes) -> str:
    value = next((value for name, value in scope["headers"] if name == wanted), b"")
    return str(value.decode("latin-1")).split(",")[0].strip()


def _all_of(scope: Scope, wanted: bytes) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == wanted)
