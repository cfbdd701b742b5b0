"""Reads and writes approvals within one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.approvals import tables
from services.registry.notes.approvals.rules import DECISION_TIMEOUT, Approval, ListedApproval
from services.registry.notes.approvals.tables import approvals
from services.registry.store.tables.workspaces import hearing, is_not_removed, workspaces
from services.registry.workspace.model import WorkspaceId


class ApprovalStore:
    """The table of approvals. An expired approval is not pending, even before the sweep denies it."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    @property
    def _is_pending(self) -> sa.ColumnElement[bool]:
        return sa.and_(tables.is_pending, sa.not_(self._is_too_old))

    @property
    def _is_expired(self) -> sa.ColumnElement[bool]:
        return sa.and_(tables.is_pending, self._is_too_old)

    @property
    def _is_too_old(self) -> sa.ColumnElement[bool]:
        """Match what waited for too long, during all of which the plane could hear a decision."""
        began = sa.func.greatest(approvals.c.created_at, hearing.c.since, type_=hearing.c.since.type)
        until = sa.func.least(hearing.c.until, self._now, type_=hearing.c.until.type)
        heard = sa.exists().where(began <= until - DECISION_TIMEOUT)
        return sa.and_(approvals.c.created_at <= self._now - DECISION_TIMEOUT, heard)

    async def insert(self, approval: Approval) -> bool:
        """Insert a new approval; false if its id is known."""
        statement = (
            insert(approvals).values(tables.row_from_approval(approval)).on_conflict_do_nothing(index_elements=["id"])
        )
        return (await self._connection.execute(statement)).rowcount > 0

    async def count_pending(self, workspace_id: WorkspaceId) -> int:
        """Return the number of pending approvals of a workspace."""
        own = sa.select(sa.func.count()).where(approvals.c.workspace_id == workspace_id, self._is_pending)
        return await self._connection.scalar(own) or 0

    async def list_newest(self, workspace_id: WorkspaceId, *, limit: int) -> list[ListedApproval]:
        """Return the approvals of a workspace, newest first."""
        own = sa.select(approvals).where(approvals.c.workspace_id == workspace_id)
        found = await self._connection.execute(own.order_by(*_NEWEST_FIRST).limit(limit))
        return [ListedApproval(tables.approval_from_row(row)) for row in found]

    async def list_pending(self, *, org_id: str | None, limit: int) -> list[ListedApproval]:
        """Return the pending approvals, newest first; with `org_id`, those of one organisation."""
        statement = (
            sa.select(approvals, workspaces.c.name)
            .join_from(approvals, workspaces, workspaces.c.id == approvals.c.workspace_id)
            .where(self._is_pending, is_not_removed)
        )
        if org_id is not None:
            statement = statement.where(workspaces.c.org_id == org_id)
        found = await self._connection.execute(statement.order_by(*_NEWEST_FIRST).limit(limit))
        return [ListedApproval(tables.approval_from_row(row), row.name) for row in found]

    async def find_pending(self, workspace_id: WorkspaceId, approval_id: str) -> Approval | None:
        """Lock and return a pending approval of the workspace."""
        statement = sa.select(approvals).where(
            approvals.c.id == approval_id, approvals.c.workspace_id == workspace_id, self._is_pending
        )
        row = (await self._connection.execute(statement.with_for_update())).one_or_none()
        return None if row is None else tables.approval_from_row(row)

    async def list_workspaces_with_expired(self, *, limit: int) -> list[WorkspaceId]:
        """Return workspaces with expired approvals, the longest expired first."""
        oldest_first = (
            sa.select(approvals.c.workspace_id).where(self._is_expired).order_by(approvals.c.created_at).limit(limit)
        )
        found = await self._connection.execute(oldest_first)
        return list(dict.fromkeys(found.scalars()))

    async def list_expired(self, workspace_id: WorkspaceId) -> list[Approval]:
        """Lock and return the expired approvals of a workspace."""
        own = sa.select(approvals).where(approvals.c.workspace_id == workspace_id, self._is_expired)
        found = await self._connection.execute(own.order_by(approvals.c.created_at).with_for_update())
        return [tables.approval_from_row(row) for row in found]

    async def update(self, approval: Approval) -> None:
        """Update a locked approval."""
        row = tables.row_from_approval(approval)
        await self._connection.execute(sa.update(approvals).where(approvals.c.id == approval.id).values(row))

    async def delete_surplus(self, workspace_id: WorkspaceId, *, kept: int) -> None:
        """Delete the decided approvals of a workspace that are not among its `kept` newest ones."""
        own = sa.select(approvals.c.id).where(approvals.c.workspace_id == workspace_id)
        newest = own.order_by(*_NEWEST_FIRST).limit(kept)
        surplus = sa.and_(
            approvals.c.workspace_id == workspace_id, sa.not_(tables.is_pending), approvals.c.id.not_in(newest)
        )
        await self._connection.execute(sa.delete(approvals).where(surplus))

    async def delete_old(self, age: timedelta, *, limit: int) -> int:
        """Delete at most `limit` approvals that are older than `age`; return their number."""
        old = sa.select(approvals.c.id).where(approvals.c.created_at < self._now - age)
        deleted = await self._connection.execute(
            sa.delete(approvals).where(approvals.c.id.in_(old.order_by(approvals.c.created_at).limit(limit)))
        )
        return deleted.rowcount

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the approvals of these workspaces."""
        await self._connection.execute(sa.delete(approvals).where(approvals.c.workspace_id.in_(ids)))


_NEWEST_FIRST = (approvals.c.created_at.desc(), approvals.c.id.desc())
