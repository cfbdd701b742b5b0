"""Resolves the host names of agents, so that slow names delay neither other names nor the event loop's threads."""

import asyncio
from contextlib import suppress
from socket import AF_UNSPEC, AddressFamily

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import AsyncResolver

LOOKUP_SECONDS = 5.0
"""Seconds after which a name counts as unresolvable."""

MAX_LOOKUPS = 1024
"""Names that are looked up at once; a further one is unresolvable until one of them is finished."""


class HostResolver(AbstractResolver):
    """Looks up names with c-ares, which needs no thread: any number of slow names can wait at the same time.

    Callers that ask for a name which is being looked up share the answer. c-ares keeps an answer for its time to live.
    """

    def __init__(self, resolver: AbstractResolver | None = None, *, lookup_seconds: float = LOOKUP_SECONDS) -> None:
        """`resolver` looks up names instead of c-ares with the name servers of this machine."""
        self._resolver = resolver or AsyncResolver()
        self._lookup_seconds = lookup_seconds
        self._lookups: dict[tuple[str, AddressFamily], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of `host`; raises `OSError`."""
        lookup = self._lookups.get((host, family))
        if lookup is None:
            lookup = self._start(host, family)
        found = await asyncio.shield(lookup)
        return [{**entry, "port": port} for entry in found]

    async def close(self) -> None:
        """End the look-ups."""
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        await self._resolver.close()

    def _start(self, host: str, family: AddressFamily) -> asyncio.Task[list[ResolveResult]]:
        if len(self._lookups) >= MAX_LOOKUPS:
            raise OSError("too many names are being looked up")
        lookup = asyncio.get_running_loop().create_task(self._look_up(host, family))
        self._lookups[host, family] = lookup
        lookup.add_done_callback(_retrieve_error)
        return lookup

    async def _look_up(self, host: str, family: AddressFamily) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._lookup_seconds):
                return await self._resolver.resolve(host, 0, family)
        except TimeoutError:
            raise OSError("the name is not resolved in time") from None
        finally:
            del self._lookups[host, family]


def _retrieve_error(lookup: asyncio.Task[list[ResolveResult]]) -> None:
    """Take note of an error that no caller is left to receive."""
    with suppress(asyncio.CancelledError):
        lookup.exception()
