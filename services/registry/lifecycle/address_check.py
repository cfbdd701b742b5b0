"""Checks the URL of an agent: resolves its host and applies the address rules of the chassis."""

import asyncio
import socket
from collections.abc import Iterable

from services.chassis import addresses
from services.chassis.addresses import AddressRefusal, AddressRules, Endpoint, find_address_refusal, parse_endpoint

RESOLVE_TIMEOUT_SECONDS = 5.0
"""After this time a name counts as unresolvable."""


class AddressChecker:
    """Checks the URLs that agents and callers of CreateWorkspace give."""

    def __init__(self, rules: AddressRules, *, plane_urls: Iterable[str] = ()) -> None:
        """`plane_urls` are the URLs of the plane, as far as they are known."""
        self._rules = rules
        self._plane = [endpoint for endpoint in map(parse_endpoint, plane_urls) if endpoint is not None]

    async def find_refusal(self, url: str, *, own_name: str = "") -> AddressRefusal | None:
        """Return why the URL is refused; `None` if it is allowed. The host `own_name` is always allowed."""
        where = parse_endpoint(url)
        if where is None:
            return AddressRefusal.MALFORMED
        if where.host == own_name:
            return None
        resolved = await _resolve(where.host, where.port)
        refusal = find_address_refusal(resolved, self._rules)
        if refusal is None and await self._is_plane(where, resolved):
            return AddressRefusal.PLANE
        return refusal

    async def _is_plane(self, where: Endpoint, resolved: list[str]) -> bool:
        """Whether an endpoint is one of the plane's. Another name at the plane's address may be another host."""
        for plane in self._plane:
            if where.port == plane.port:
                if where.host == plane.host:
                    return True
                plane_addresses = await _resolve(plane.host, plane.port)
                if any(addresses.are_same(where.host, address) for address in plane_addresses):
                    return True
                if any(map(addresses.is_loopback, resolved)) and any(map(addresses.is_loopback, plane_addresses)):
                    return True
        return False


async def _resolve(host: str, port: int) -> list[str]:
    if addresses.is_ip_address(host):  # needs no thread: names that resolve slowly may hold all of them
        return [host]
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return [str(address[0]) for *_, address in found]
