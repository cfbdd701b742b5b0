"""Finds what the sweeps handle; each query is an index scan of the rows that are due."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import vitals, watchers, workspaces
from services.registry.workspace.facts import LivenessTimeouts
from services.registry.workspace.hearing import Hearing
from services.registry.workspace.model import EXTERNAL, Workspace, WorkspaceId


class OverdueQueries:
    """Queries for rows that are due, within one transaction."""

    def __init__(self, identity_map: IdentityMap, now: datetime) -> None:
        self._identity_map = identity_map
        self._now = now

    async def list_silent(self, timeouts: LivenessTimeouts, *, hearing: Hearing, limit: int) -> list[WorkspaceId]:
        """Return workspaces whose heartbeat is overdue; first move `look_at` of those that are not."""
        allowed = sa.case((workspaces.c.runtime == EXTERNAL, timeouts.external), else_=timeouts.managed)
        until = min(self._now, hearing.until)
        heard = sa.func.greatest(vitals.c.last_seen, hearing.since, type_=vitals.c.last_seen.type)
        due = sa.and_(vitals.c.workspace_id == workspaces.c.id, vitals.c.look_at <= until)
        await self._identity_map.connection.execute(
            sa.update(vitals).where(due, heard + allowed > until).values(look_at=heard + allowed)
        )
        found = await self._identity_map.connection.execute(
            sa.select(vitals.c.workspace_id).where(vitals.c.look_at <= until).order_by(vitals.c.look_at).limit(limit)
        )
        return list(found.scalars())

    async def list_unstarted(self, *, hearing: Hearing, limit: int) -> list[Workspace]:
        """Return starting workspaces whose deadline has passed. One that began before a gap has its time again."""
        until = min(self._now, hearing.until)
        allowed = workspaces.c.provision_deadline - workspaces.c.status_since
        statement = tables.select_workspaces.where(
            tables.is_starting,
            workspaces.c.provision_deadline <= until,
            sa.or_(workspaces.c.status_since >= hearing.since, allowed <= until - hearing.since),
        )
        return await self._identity_map.load(statement.order_by(workspaces.c.provision_deadline).limit(limit))

    async def list_unplaced(self, *, limit: int) -> list[Workspace]:
        """Return workspaces whose placement is not confirmed to auth."""
        return await self._identity_map.load(
            tables.select_workspaces.where(tables.is_unplaced).order_by(workspaces.c.created_at).limit(limit)
        )

    async def list_unfinished_removals(self, age: timedelta, *, limit: int) -> list[Workspace]:
        """Return workspaces whose removal or purge was requested longer than `age` ago and is not complete."""
        statement = tables.select_workspaces.where(
            tables.is_unfinished, workspaces.c.removal_wanted_at <= self._now - age
        )
        return await self._identity_map.load(statement.order_by(workspaces.c.removal_wanted_at).limit(limit))

    async def delete_watchers(self, age: timedelta) -> None:
        """Delete provisioners that have not watched for longer than `age`."""
        await self._identity_map.connection.execute(sa.delete(watchers).where(watchers.c.seen_at < self._now - age))
