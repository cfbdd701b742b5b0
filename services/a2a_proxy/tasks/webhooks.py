"""Judges the addresses to which agents are asked to send push notifications (docs/spec/rest.md, 5.2)."""

from collections.abc import Iterable
from typing import Self

from aiohttp.abc import AbstractResolver

from services.a2a_proxy.host_resolver import HostResolver
from services.chassis import addresses
from services.chassis.addresses import AddressRules

MALFORMED = "invalid params: the push notification address is not an absolute http or https URL"
REFUSED = "invalid params: the push notification address is not publicly routable"


class Webhooks:
    """Judges addresses by the rules for the addresses of agents; a name counts by all addresses that it resolves to."""

    def __init__(self, rules: AddressRules, resolver: AbstractResolver | None = None) -> None:
        """`resolver` resolves names instead of `HostResolver`."""
        self._rules = rules
        self._given_resolver = resolver
        self._resolver: AbstractResolver

    async def __aenter__(self) -> Self:
        """Open the resolver, which belongs to the running event loop."""
        self._resolver = self._given_resolver or HostResolver()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the look-ups."""
        await self._resolver.close()

    async def find_fault(self, urls: Iterable[str]) -> str:
        """Return why one of these addresses is refused, as a public text; empty if none is.

        It does not tell a private address from a name that does not exist, so nobody learns names of inside networks.
        """
        for url in urls:
            endpoint = addresses.parse_endpoint(url)
            if endpoint is None:
                return MALFORMED
            if addresses.find_address_refusal(await self._resolve(endpoint.host, endpoint.port), self._rules):
                return REFUSED
        return ""

    async def _resolve(self, host: str, port: int) -> list[str]:
        if addresses.is_ip_address(host):
            return [host]
        try:
            return [found["host"] for found in await self._resolver.resolve(host, port)]
        except OSError:
            return []
