"""Opens transactions on the queue."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from services.a2a_proxy.model import Activity, WorkspaceId
from services.a2a_proxy.queue.store.acceptance import AcceptanceWriter
from services.a2a_proxy.queue.store.accounts import AccountQueries
from services.a2a_proxy.queue.store.connection import Observer
from services.a2a_proxy.queue.store.leases import LeaseWriter
from services.a2a_proxy.queue.store.messages import MessageQueries
from services.a2a_proxy.queue.store.retention import RetentionWriter
from services.a2a_proxy.queue.store.waiting import WaitingQueries
from services.chassis import database

Announce = Callable[[Sequence[Activity], Mapping[WorkspaceId, int]], None]
"""Receives committed activity rows, and the bytes that their workspaces occupy."""


class QueueTransaction(AcceptanceWriter, LeaseWriter, RetentionWriter, MessageQueries, WaitingQueries, AccountQueries):
    """One transaction on the queue: the methods of all parts of the store on one connection."""


class QueueStore:
    """Opens transactions on the queue."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._observers: list[Observer] = []
        self._announcers: list[Announce] = []

    def add_observer(self, observer: Observer) -> None:
        """Call `observer` with every change, in the transaction that makes it."""
        self._observers.append(observer)

    def add_announcer(self, announce: Announce) -> None:
        """Call `announce` with the activity rows of each transaction that is committed."""
        self._announcers.append(announce)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[QueueTransaction]:
        """Open a transaction; it is committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            tx = QueueTransaction(connection, self._observers)
            yield tx
        if tx.written_rows:
            for announce in self._announcers:
                announce(tx.written_rows, tx.usage)
