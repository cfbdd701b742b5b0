"""What agents keep by key, as one transaction sees it."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.entries import tables
from services.registry.notes.entries.rules import KeyValueEntry
from services.registry.notes.entries.tables import entries
from services.registry.workspace.model import WorkspaceId


class EntryStore:
    """Entries of workspaces. What has expired is not there, whether or not it has been swept."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    @property
    def _is_current(self) -> sa.ColumnElement[bool]:
        return sa.or_(entries.c.expires_at.is_(None), entries.c.expires_at > self._now)

    async def find(self, workspace_id: WorkspaceId, key: str) -> KeyValueEntry | None:
        """What is under a key."""
        statement = sa.select(entries).where(
            entries.c.workspace_id == workspace_id, entries.c.key == key, self._is_current
        )
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else tables.entry_from_row(row)

    async def list_page(self, workspace_id: WorkspaceId, *, after: str, limit: int) -> list[KeyValueEntry]:
        """Entries by key, after one."""
        statement = sa.select(entries).where(
            entries.c.workspace_id == workspace_id, entries.c.key > after, self._is_current
        )
        found = await self._connection.execute(statement.order_by(entries.c.key).limit(limit))
        return [tables.entry_from_row(row) for row in found]

    async def count(self, workspace_id: WorkspaceId) -> int:
        """How many a workspace has."""
        own = sa.select(sa.func.count()).where(entries.c.workspace_id == workspace_id, self._is_current)
        return await self._connection.scalar(own) or 0

    async def put(self, workspace_id: WorkspaceId, entry: KeyValueEntry) -> None:
        """Keep an entry instead of what is under its key."""
        row = tables.row_from_entry(entry)
        put = insert(entries).values(workspace_id=workspace_id, **row)
        await self._connection.execute(put.on_conflict_do_update(index_elements=["workspace_id", "key"], set_=row))

    async def delete(self, workspace_id: WorkspaceId, key: str) -> None:
        """Delete what is under a key, if anything is."""
        await self._connection.execute(
            sa.delete(entries).where(entries.c.workspace_id == workspace_id, entries.c.key == key)
        )

    async def delete_expired(self, *, limit: int) -> int:
        """Delete what has expired, at most so many; the number deleted."""
        past = sa.select(entries.c.workspace_id, entries.c.key).where(entries.c.expires_at <= self._now)
        oldest = past.order_by(entries.c.expires_at).limit(limit).with_for_update(skip_locked=True)
        gone = await self._connection.execute(
            sa.delete(entries).where(
                sa.tuple_(entries.c.workspace_id, entries.c.key).in_(oldest), entries.c.expires_at <= self._now
            )
        )
        return gone.rowcount

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete everything that these workspaces have."""
        await self._connection.execute(sa.delete(entries).where(entries.c.workspace_id.in_(ids)))
