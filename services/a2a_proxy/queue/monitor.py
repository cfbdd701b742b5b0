"""Counts the messages of all targets for the metrics, and checks the accounts from time to time."""

import structlog

from services.a2a_proxy.queue.model import QueueTotals
from services.a2a_proxy.queue.store.transaction import QueueStore

log = structlog.get_logger()

MAX_NAMED_TARGETS = 10
"""Targets that one line of the log names."""


class QueueMonitor:
    """Reads totals that operators watch. The check of the accounts reads an index with all messages, so it is rare."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._unbalanced: int | None = None

    async def read_totals(self) -> QueueTotals:
        """Return the counts of now, and the result of the last check of the accounts."""
        async with self._store.begin() as tx:
            held = await tx.count_held()
        return QueueTotals(held=held, unbalanced=self._unbalanced)

    async def check_accounts(self) -> None:
        """Find the targets whose accounts do not balance, and log them; raises `Unavailable`."""
        async with self._store.begin() as tx:
            unbalanced = await tx.find_unbalanced()
        self._unbalanced = len(unbalanced)
        if unbalanced:
            log.error("accounts not balanced", targets=unbalanced[:MAX_NAMED_TARGETS], count=len(unbalanced))
