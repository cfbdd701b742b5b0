"""The open connections: how many an address has, which has waited longest, and which is past its deadline."""

import heapq
import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Protocol

from molecule_http.limit_log import LimitKind, LimitLog

SHARE_THAT_IS_EVICTED = 64
"""A full table closes one connection of this many at once, so that it need not search again for the next."""

NEVER = math.inf


class Connection(Protocol):
    """A connection, as the table sees it."""

    address: str
    deadline: float
    """When the client must have sent what it owes; `NEVER` while the server owes an answer."""
    is_half_closed: bool

    def check(self, now: float) -> None:
        """End what is past its deadline."""

    def evict(self) -> None:
        """Close the connection at once."""


class ConnectionTable:
    """Admits connections up to a total and up to a number of each address.

    If there are too many, those close that wait for their clients, the one with the earliest deadline first: a new
    client always gets in while others only hold connections open.
    """

    def __init__(self, *, total: int, per_address: int, is_exempt: Callable[[str], bool], log: LimitLog) -> None:
        self._total = total
        self._per_address = per_address
        self._is_exempt = is_exempt
        self._log = log
        self._connections: dict[Connection, None] = {}
        self._of_address: dict[str, dict[Connection, None]] = {}

    def admit(self, connection: Connection, now: float) -> bool:
        """Add a connection, if need be in place of one that waits for its client; `False` if there is no room."""
        others = self._of_address.get(connection.address, {})
        if len(others) >= self._per_address and not self._is_exempt(connection.address):
            self._log.record(LimitKind.CONNECTIONS_PER_ADDRESS, connection.address, now)
            if not self._evict_waiting(others, 1):
                return False
        if len(self._connections) >= self._total:
            self._log.record(LimitKind.CONNECTIONS, connection.address, now)
            if not self._evict_waiting(self._connections, 1 + self._total // SHARE_THAT_IS_EVICTED):
                return False
        self._connections[connection] = None
        self._of_address.setdefault(connection.address, {})[connection] = None
        return True

    def release(self, connection: Connection) -> None:
        """Forget a connection; does nothing if it is forgotten already."""
        self._connections.pop(connection, None)
        others = self._of_address.get(connection.address)
        if others is not None:
            others.pop(connection, None)
            if not others:
                del self._of_address[connection.address]

    def check(self, now: float) -> None:
        """Check the connections that are past their deadline, and those whose client may have left."""
        late = [
            connection for connection in self._connections if connection.deadline <= now or connection.is_half_closed
        ]
        for connection in late:
            connection.check(now)

    def _evict_waiting(self, connections: Iterable[Connection], count: int) -> int:
        """Close the connections with the earliest deadlines; of equal ones those that came first."""
        waiting = (connection for connection in connections if connection.deadline != NEVER)
        evicted = heapq.nsmallest(count, waiting, key=attrgetter("deadline"))
        for connection in evicted:
            self.release(connection)
            connection.evict()
        return len(evicted)
