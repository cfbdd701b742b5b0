"""What the sweeps look for: each an index scan of what is due."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from services.registry.store.identity_map import Reader
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import vitals, watchers, workspaces
from services.registry.workspace.facts import Patience
from services.registry.workspace.model import EXTERNAL, Workspace, WorkspaceId


class Due:
    """What should have happened by now."""

    def __init__(self, reader: Reader, now: datetime) -> None:
        self._reader = reader
        self._now = now

    async def silent(self, patience: Patience, *, limit: int) -> list[WorkspaceId]:
        """Workspaces that should have been heard by now. Those heard in time, though seldom, wait on."""
        allowed = sa.case((workspaces.c.runtime == EXTERNAL, patience.external), else_=patience.managed)
        due = sa.and_(vitals.c.workspace_id == workspaces.c.id, vitals.c.look_at <= self._now)
        await self._reader.connection.execute(
            sa.update(vitals)
            .where(due, vitals.c.last_seen + allowed > self._now)
            .values(look_at=vitals.c.last_seen + allowed)
        )
        found = await self._reader.connection.execute(
            sa.select(vitals.c.workspace_id)
            .where(vitals.c.look_at <= self._now)
            .order_by(vitals.c.look_at)
            .limit(limit)
        )
        return list(found.scalars())

    async def overdue(self, *, limit: int) -> list[Workspace]:
        """Workspaces whose agent did not come up in time."""
        statement = tables.everything.where(tables.starting, workspaces.c.provision_deadline <= self._now)
        return await self._reader.listed(statement.order_by(workspaces.c.provision_deadline).limit(limit))

    async def unplaced(self, *, limit: int) -> list[Workspace]:
        """Workspaces that auth was not told for good of."""
        return await self._reader.listed(
            tables.everything.where(tables.unplaced).order_by(workspaces.c.created_at).limit(limit)
        )

    async def unfinished(self, age: timedelta, *, limit: int) -> list[Workspace]:
        """Workspaces whose removal, or whose purge, stopped half way."""
        statement = tables.everything.where(tables.unfinished, workspaces.c.removal_wanted_at <= self._now - age)
        return await self._reader.listed(statement.order_by(workspaces.c.removal_wanted_at).limit(limit))

    async def forget_watchers(self, age: timedelta) -> None:
        """Delete provisioners that have not listened for long."""
        await self._reader.connection.execute(sa.delete(watchers).where(watchers.c.seen_at < self._now - age))
