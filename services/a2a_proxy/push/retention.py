"""Erases the targets that were not used for long, and those of purged workspaces."""

from datetime import timedelta

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.push.store import PushStore

MAX_ROWS = 1000
"""Targets that one transaction erases."""


class PushRetention:
    """Keeps the targets as long as the tasks that they belong to."""

    def __init__(self, store: PushStore, *, age: timedelta) -> None:
        """Targets are kept for `age` after their last notification."""
        self._store = store
        self._age = age

    async def clean(self) -> None:
        """Erase what is too old; raises `Unavailable`."""
        erased = MAX_ROWS
        while erased == MAX_ROWS:
            async with self._store.begin() as tx:
                erased = await tx.delete_old(age=self._age, limit=MAX_ROWS)

    async def purge(self, workspace_id: WorkspaceId) -> None:
        """Erase every target at a purged workspace, and every one that it named; raises `Unavailable`."""
        erased = MAX_ROWS
        while erased:
            async with self._store.begin() as tx:
                erased = await tx.purge(workspace_id, limit=MAX_ROWS)
