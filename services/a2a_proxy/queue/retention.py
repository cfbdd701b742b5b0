"""Erases messages that ended long ago, answers that occupy too much, and what belongs to purged workspaces."""

from datetime import timedelta

import structlog

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.store.transaction import QueueStore

log = structlog.get_logger()

MAX_ROWS = 1000
"""Messages that one transaction erases."""

MAX_TARGETS = 100
"""Targets whose answers are erased in one cleaning."""


class QueueRetention:
    """Keeps the stored messages within their limits. The accounts go on counting what was erased."""

    def __init__(self, store: QueueStore, *, age: timedelta, max_answer_bytes: int) -> None:
        """Messages are kept for `age` after their end; the answers of one target may occupy `max_answer_bytes`."""
        self._store = store
        self._age = age
        self._max_answer_bytes = max_answer_bytes

    async def clean(self) -> None:
        """Erase what is too old or too large; raises `Unavailable`."""
        for erase in (self._forget_identities, self._erase_ended):
            while await erase() == MAX_ROWS:
                pass
        async with self._store.begin() as tx:
            targets = await tx.list_large_answers(self._max_answer_bytes, limit=MAX_TARGETS)
        for target in targets:
            async with self._store.begin() as tx:
                await tx.erase_answers(target, limit=MAX_ROWS)

    async def purge(self, workspace_id: WorkspaceId) -> None:
        """Erase every message that a purged workspace received or sent; raises `Unavailable`."""
        total, erased = 0, MAX_ROWS
        while erased == MAX_ROWS:
            async with self._store.begin() as tx:
                erased = await tx.purge(workspace_id, limit=MAX_ROWS)
            total += erased
        if total:
            log.info("queued messages purged", workspace=workspace_id, messages=total)

    async def _forget_identities(self) -> int:
        async with self._store.begin() as tx:
            return await tx.forget_identities(limit=MAX_ROWS)

    async def _erase_ended(self) -> int:
        async with self._store.begin() as tx:
            return await tx.erase_ended(age=self._age, limit=MAX_ROWS)
