"""Requests for consent, as one transaction sees them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.approvals import tables
from services.registry.notes.approvals.rules import DECISION_TIMEOUT, Approval, ListedApproval
from services.registry.notes.approvals.tables import approvals
from services.registry.store.tables.workspaces import kept, workspaces
from services.registry.workspace.model import WorkspaceId


class ApprovalStore:
    """Requests of workspaces. One that has waited too long is as good as denied, whether or not it has been swept."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    @property
    def _is_pending(self) -> sa.ColumnElement[bool]:
        return sa.and_(tables.is_pending, approvals.c.created_at > self._now - DECISION_TIMEOUT)

    @property
    def _is_expired(self) -> sa.ColumnElement[bool]:
        return sa.and_(tables.is_pending, approvals.c.created_at <= self._now - DECISION_TIMEOUT)

    async def insert(self, approval: Approval) -> bool:
        """Keep a new request; false where one of its id is kept already."""
        put = insert(approvals).values(tables.row_from_approval(approval)).on_conflict_do_nothing(index_elements=["id"])
        return (await self._connection.execute(put)).rowcount > 0

    async def count_pending(self, workspace_id: WorkspaceId) -> int:
        """How many of a workspace wait."""
        own = sa.select(sa.func.count()).where(approvals.c.workspace_id == workspace_id, self._is_pending)
        return await self._connection.scalar(own) or 0

    async def list_newest(self, workspace_id: WorkspaceId, *, limit: int) -> list[ListedApproval]:
        """Those of one workspace, newest first."""
        own = sa.select(approvals).where(approvals.c.workspace_id == workspace_id)
        found = await self._connection.execute(own.order_by(*_NEWEST_FIRST).limit(limit))
        return [ListedApproval(tables.approval_from_row(row)) for row in found]

    async def list_pending(self, *, org_id: str | None, limit: int) -> list[ListedApproval]:
        """Those that wait, newest first; of one organisation if it is given."""
        statement = (
            sa.select(approvals, workspaces.c.name)
            .join_from(approvals, workspaces, workspaces.c.id == approvals.c.workspace_id)
            .where(self._is_pending, kept)
        )
        if org_id is not None:
            statement = statement.where(workspaces.c.org_id == org_id)
        found = await self._connection.execute(statement.order_by(*_NEWEST_FIRST).limit(limit))
        return [ListedApproval(tables.approval_from_row(row), row.name) for row in found]

    async def find_pending(self, workspace_id: WorkspaceId, approval_id: str) -> Approval | None:
        """A request of the workspace that waits, locked."""
        statement = sa.select(approvals).where(
            approvals.c.id == approval_id, approvals.c.workspace_id == workspace_id, self._is_pending
        )
        row = (await self._connection.execute(statement.with_for_update())).one_or_none()
        return None if row is None else tables.approval_from_row(row)

    async def list_workspaces_with_expired(self, *, limit: int) -> list[WorkspaceId]:
        """Workspaces with requests that have, those that have waited longest first."""
        late = sa.select(approvals.c.workspace_id).where(self._is_expired).order_by(approvals.c.created_at).limit(limit)
        found = await self._connection.execute(late)
        return list(dict.fromkeys(found.scalars()))

    async def list_expired(self, workspace_id: WorkspaceId) -> list[Approval]:
        """The requests of a workspace that have waited too long, locked."""
        own = sa.select(approvals).where(approvals.c.workspace_id == workspace_id, self._is_expired)
        found = await self._connection.execute(own.order_by(approvals.c.created_at).with_for_update())
        return [tables.approval_from_row(row) for row in found]

    async def update(self, approval: Approval) -> None:
        """Keep the decision on a locked request."""
        row = tables.row_from_approval(approval)
        await self._connection.execute(sa.update(approvals).where(approvals.c.id == approval.id).values(row))

    async def delete_old(self, age: timedelta, *, limit: int) -> int:
        """Delete old requests, at most so many; the number deleted."""
        old = sa.select(approvals.c.id).where(approvals.c.created_at < self._now - age)
        gone = await self._connection.execute(
            sa.delete(approvals).where(approvals.c.id.in_(old.order_by(approvals.c.created_at).limit(limit)))
        )
        return gone.rowcount

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete everything that these workspaces have."""
        await self._connection.execute(sa.delete(approvals).where(approvals.c.workspace_id.in_(ids)))


_NEWEST_FIRST = (approvals.c.created_at.desc(), approvals.c.id.desc())
