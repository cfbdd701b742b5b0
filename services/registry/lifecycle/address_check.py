"""Checks the URL of an agent: resolves its host and applies the address rules of the chassis."""

import asyncio
import socket

from services.chassis.addresses import AddressRefusal, AddressRules, find_address_refusal, parse_endpoint

RESOLVE_TIMEOUT_SECONDS = 5.0
"""After this time a name counts as unresolvable."""


class AddressChecker:
    """Checks the URLs that agents and callers of CreateWorkspace give."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules

    async def find_refusal(self, url: str, *, own_name: str = "") -> AddressRefusal | None:
        """Return why the URL is refused; `None` if it is allowed. The host `own_name` is always allowed."""
        where = parse_endpoint(url)
        if where is None:
            return AddressRefusal.MALFORMED
        if where.host == own_name:
            return None
        return find_address_refusal(await _resolve(where.host, where.port), self._rules)


async def _resolve(host: str, port: int) -> list[str]:
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return [str(address[0]) for *_, address in found]
