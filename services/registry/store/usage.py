"""Counts workspaces and running instances for quotas."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.quotas import Usage

QUOTA_LOCK = 0x4D6F6C03
"""The advisory lock under which workspaces are counted and added, so that two transactions do not both fit."""


class UsageQueries:
    """Counts within one transaction. They stay true until it ends, because each counting transaction holds a lock."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count_workspaces(self, org_id: WorkspaceId) -> Usage:
        """Return the numbers of workspaces that are not removed."""
        return await self._count(tables.is_not_removed, org_id)

    async def count_running(self, org_id: WorkspaceId) -> Usage:
        """Return the numbers of workspaces that count as running."""
        return await self._count(tables.is_running, org_id)

    async def _count(self, condition: sa.ColumnElement[bool], org_id: WorkspaceId) -> Usage:
        await self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(QUOTA_LOCK)))
        in_org = sa.func.count().filter(workspaces.c.org_id == org_id)
        row = (await self._connection.execute(sa.select(sa.func.count(), in_org).where(condition))).one()
        return Usage(total=row[0], in_org=row[1])
