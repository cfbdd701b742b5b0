"""Erases the tasks that were not seen for long, and those of purged workspaces."""

from datetime import timedelta

import structlog

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.tasks.register import TaskRegister
from services.a2a_proxy.tasks.store.tasks import TaskStore

log = structlog.get_logger()

MAX_ROWS = 1000
"""Tasks that one transaction erases."""


class TaskRetention:
    """Keeps the register within its limits; the register itself limits the tasks of each workspace."""

    def __init__(self, store: TaskStore, register: TaskRegister, *, age: timedelta) -> None:
        """Tasks are kept for `age` after they were last seen."""
        self._store = store
        self._register = register
        self._age = age

    async def clean(self) -> None:
        """Erase what is too old; raises `Unavailable`."""
        async with self._store.begin() as tx:
            targets = await tx.list_targets()
        for target in targets:
            erased = MAX_ROWS
            while erased == MAX_ROWS:
                async with self._store.begin() as tx:
                    erased = await tx.delete_old(target, age=self._age, limit=MAX_ROWS)

    async def purge(self, workspace_id: WorkspaceId) -> None:
        """Erase every task that a purged workspace worked on or made; raises `Unavailable`."""
        total, erased = 0, MAX_ROWS
        while erased:
            async with self._store.begin() as tx:
                erased = await tx.purge(workspace_id, limit=MAX_ROWS)
            total += erased
        self._register.forget(workspace_id)
        if total:
            log.info("tasks purged", workspace=workspace_id, tasks=total)
