"""Who stays after it was let in, and must be asked about again when something happens."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf

RevocationName = str | bytes


class OpenConnection:
    """Stands beside one who stays."""

    def __init__(self, vigils: "OpenConnections") -> None:
        self._vigils = vigils
        self._disturbance = asyncio.Event()
        self.names: set[RevocationName] = set()

    def heed(self, names: Iterable[RevocationName]) -> None:
        """Whatever happens to one of these concerns it from now on."""
        self._vigils.heed(self, {name for name in names if name})

    def calm(self) -> None:
        """What happened so far has been seen to."""
        self._disturbance.clear()

    def disturb(self) -> None:
        """Something happened."""
        self._disturbance.set()

    async def disturbed(self, *, within: float) -> None:
        """Wait until something happens, or so many seconds have passed."""
        try:
            async with asyncio.timeout(None if within == inf else max(within, 0)):
                await self._disturbance.wait()
        except TimeoutError:
            return


class OpenConnections:
    """All who stay, by the names that they go by."""

    def __init__(self) -> None:
        self._kept: set[OpenConnection] = set()
        self._by_name: dict[RevocationName, set[OpenConnection]] = {}

    @contextmanager
    def kept(self) -> Iterator[OpenConnection]:
        """One more stays, for the length of the block."""
        vigil = OpenConnection(self)
        self._kept.add(vigil)
        try:
            yield vigil
        finally:
            self._kept.discard(vigil)
            self._forget(vigil)

    def heed(self, vigil: OpenConnection, names: set[RevocationName]) -> None:
        """Whatever happens to one of these concerns `vigil`, besides what did before."""
        for name in names - vigil.names:
            self._by_name.setdefault(name, set()).add(vigil)
        vigil.names |= names

    def disturb(self, name: RevocationName) -> None:
        """Something happened to whoever goes by this name."""
        for vigil in self._by_name.get(name, ()):
            vigil.disturb()

    def disturb_all(self) -> None:
        """Something happened that may concern anybody."""
        for vigil in self._kept:
            vigil.disturb()

    def _forget(self, vigil: OpenConnection) -> None:
        for name in vigil.names:
            found = self._by_name[name]
            found.discard(vigil)
            if not found:
                del self._by_name[name]
