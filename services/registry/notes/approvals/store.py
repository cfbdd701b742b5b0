"""Requests for consent, as one transaction sees them."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.approvals import tables
from services.registry.notes.approvals.rules import WAIT, Approval, Listed
from services.registry.notes.approvals.tables import approvals
from services.registry.store.tables.workspaces import is_not_removed, workspaces
from services.registry.workspace.model import WorkspaceId


class KeptApprovals:
    """Requests of workspaces. One that has waited too long is as good as denied, whether or not it has been swept."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    @property
    def _open(self) -> sa.ColumnElement[bool]:
        return sa.and_(tables.waiting, approvals.c.created_at > self._now - WAIT)

    @property
    def _late(self) -> sa.ColumnElement[bool]:
        return sa.and_(tables.waiting, approvals.c.created_at <= self._now - WAIT)

    async def put(self, approval: Approval) -> bool:
        """Keep a new request; false where one of its id is kept already."""
        put = insert(approvals).values(tables.row_of(approval)).on_conflict_do_nothing(index_elements=["id"])
        return (await self._connection.execute(put)).rowcount > 0

    async def count_open(self, workspace_id: WorkspaceId) -> int:
        """How many of a workspace wait."""
        own = sa.select(sa.func.count()).where(approvals.c.workspace_id == workspace_id, self._open)
        return await self._connection.scalar(own) or 0

    async def newest(self, workspace_id: WorkspaceId, *, limit: int) -> list[Listed]:
        """Those of one workspace, newest first."""
        own = sa.select(approvals).where(approvals.c.workspace_id == workspace_id)
        found = await self._connection.execute(own.order_by(*_NEWEST).limit(limit))
        return [Listed(tables.approval_of(row)) for row in found]

    async def open(self, *, org_id: str | None, limit: int) -> list[Listed]:
        """Those that wait, newest first; of one organisation if it is given."""
        statement = (
            sa.select(approvals, workspaces.c.name)
            .join_from(approvals, workspaces, workspaces.c.id == approvals.c.workspace_id)
            .where(self._open, is_not_removed)
        )
        if org_id is not None:
            statement = statement.where(workspaces.c.org_id == org_id)
        found = await self._connection.execute(statement.order_by(*_NEWEST).limit(limit))
        return [Listed(tables.approval_of(row), row.name) for row in found]

    async def find_open(self, workspace_id: WorkspaceId, approval_id: str) -> Approval | None:
        """A request of the workspace that waits, locked."""
        statement = sa.select(approvals).where(
            approvals.c.id == approval_id, approvals.c.workspace_id == workspace_id, self._open
        )
        row = (await self._connection.execute(statement.with_for_update())).one_or_none()
        return None if row is None else tables.approval_of(row)

    async def waited_too_long(self, *, limit: int) -> list[WorkspaceId]:
        """Workspaces with requests that have, those that have waited longest first."""
        late = sa.select(approvals.c.workspace_id).where(self._late).order_by(approvals.c.created_at).limit(limit)
        found = await self._connection.execute(late)
        return list(dict.fromkeys(found.scalars()))

    async def late(self, workspace_id: WorkspaceId) -> list[Approval]:
        """The requests of a workspace that have waited too long, locked."""
        own = sa.select(approvals).where(approvals.c.workspace_id == workspace_id, self._late)
        found = await self._connection.execute(own.order_by(approvals.c.created_at).with_for_update())
        return [tables.approval_of(row) for row in found]

    async def settle(self, approval: Approval) -> None:
        """Keep the decision on a locked request."""
        row = tables.row_of(approval)
        await self._connection.execute(sa.update(approvals).where(approvals.c.id == approval.id).values(row))

    async def forget(self, age: timedelta, *, limit: int) -> int:
        """Delete old requests, at most so many; the number deleted."""
        old = sa.select(approvals.c.id).where(approvals.c.created_at < self._now - age)
        gone = await self._connection.execute(
            sa.delete(approvals).where(approvals.c.id.in_(old.order_by(approvals.c.created_at).limit(limit)))
        )
        return gone.rowcount


_NEWEST = (approvals.c.created_at.desc(), approvals.c.id.desc())
