"""Erases recordings that ended long ago, those beyond the limit on all of them, and those of purged workspaces."""

from datetime import timedelta

import structlog

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.streams.store import StreamStore

log = structlog.get_logger()

MAX_STREAMS = 20
"""Recordings that one transaction erases."""

CLEANUP_INTERVAL = timedelta(minutes=1)


class StreamRetention:
    """Keeps recordings within their limits."""

    def __init__(self, store: StreamStore, *, age: timedelta, max_bytes: int) -> None:
        """Recordings are kept for `age` after their end, and at most `max_bytes` of all that have ended."""
        self._store = store
        self._age = age
        self._max_bytes = max_bytes

    async def clean(self) -> None:
        """Erase what is too old, and the oldest of what is too much; raises `Unavailable`."""
        erased = MAX_STREAMS
        while erased == MAX_STREAMS:
            async with self._store.begin() as tx:
                old = await tx.list_old(age=self._age, limit=MAX_STREAMS)
                await tx.delete(old)
            erased = len(old)
        erased = MAX_STREAMS
        while erased:
            async with self._store.begin() as tx:
                surplus = await tx.measure() - self._max_bytes
                oldest = await tx.list_oldest(surplus=surplus, limit=MAX_STREAMS) if surplus > 0 else []
                await tx.delete(oldest)
            erased = len(oldest)
            if erased:
                log.info("recordings erased before their time", streams=erased)

    async def purge(self, workspace_id: WorkspaceId) -> None:
        """Erase every recording of a purged workspace, and such that it asked for; raises `Unavailable`."""
        erased = MAX_STREAMS
        while erased == MAX_STREAMS:
            async with self._store.begin() as tx:
                own = await tx.list_of_workspace(workspace_id, limit=MAX_STREAMS)
                await tx.delete(own)
            erased = len(own)
