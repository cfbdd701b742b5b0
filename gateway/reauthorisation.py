"""Open connections that are authorised again when a permission may have changed."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf

RevocationName = str | bytes
"""A workspace or organisation by its id, or a token by its digest."""


class OpenConnection:
    """One connection, and the signal to authorise it again."""

    def __init__(self, connections: "OpenConnections") -> None:
        self._connections = connections
        self._check_requested = asyncio.Event()
        self.names: set[RevocationName] = set()

    def watch_names(self, names: Iterable[RevocationName]) -> None:
        """Be signalled from now on when one of these is revoked, in addition to the names watched before."""
        self._connections.watch_names(self, {name for name in names if name})

    def clear_request(self) -> None:
        """Forget the requests so far. Call it before the check, so that a request during the check is kept."""
        self._check_requested.clear()

    def request_check(self) -> None:
        self._check_requested.set()

    async def wait_for_request(self, *, timeout_seconds: float) -> None:
        """Wait until a check is requested, at most for the given time."""
        try:
            async with asyncio.timeout(None if timeout_seconds == inf else max(timeout_seconds, 0)):
                await self._check_requested.wait()
        except TimeoutError:
            return


class OpenConnections:
    """All open connections, indexed by the names whose revocation concerns them."""

    def __init__(self) -> None:
        self._connections: set[OpenConnection] = set()
        self._by_name: dict[RevocationName, set[OpenConnection]] = {}

    @contextmanager
    def track(self) -> Iterator[OpenConnection]:
        """Track one more connection within the `with` block."""
        connection = OpenConnection(self)
        self._connections.add(connection)
        try:
            yield connection
        finally:
            self._connections.discard(connection)
            self._forget(connection)

    def watch_names(self, connection: OpenConnection, names: set[RevocationName]) -> None:
        """Signal the connection when one of the names is revoked."""
        for name in names - connection.names:
            self._by_name.setdefault(name, set()).add(connection)
        connection.names |= names

    def request_checks(self, name: RevocationName) -> None:
        """Signal the connections that watch a name."""
        for connection in self._by_name.get(name, ()):
            connection.request_check()

    def request_all_checks(self) -> None:
        """Signal every connection."""
        for connection in self._connections:
            connection.request_check()

    def _forget(self, connection: OpenConnection) -> None:
        for name in connection.names:
            found = self._by_name[name]
            found.discard(connection)
            if not found:
                del self._by_name[name]
