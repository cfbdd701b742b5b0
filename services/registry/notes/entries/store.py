"""Reads and writes entries within one transaction."""

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
    """The table of entries. An expired entry is not returned, even before the sweep deletes it."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    @property
    def _is_current(self) -> sa.ColumnElement[bool]:
        return sa.or_(entries.c.expires_at.is_(None), entries.c.expires_at > self._now)

    async def find(self, workspace_id: WorkspaceId, key: str) -> KeyValueEntry | None:
        """Return the entry under a key."""
        statement = sa.select(entries).where(
            entries.c.workspace_id == workspace_id, entries.c.key == key, self._is_current
        )
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else tables.entry_from_row(row)

    async def list_page(self, workspace_id: WorkspaceId, *, after: str, limit: int) -> list[KeyValueEntry]:
        """Return entries in the order of keys, after a key."""
        statement = sa.select(entries).where(
            entries.c.workspace_id == workspace_id, entries.c.key > after, self._is_current
        )
        found = await self._connection.execute(statement.order_by(entries.c.key).limit(limit))
        return [tables.entry_from_row(row) for row in found]

    async def count(self, workspace_id: WorkspaceId) -> int:
        """Return the number of entries of a workspace."""
        own = sa.select(sa.func.count()).where(entries.c.workspace_id == workspace_id, self._is_current)
        return await self._connection.scalar(own) or 0

    async def put(self, workspace_id: WorkspaceId, entry: KeyValueEntry) -> None:
        """Insert an entry, or replace the one under its key."""
        row = tables.row_from_entry(entry)
        statement = insert(entries).values(workspace_id=workspace_id, **row)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["workspace_id", "key"], set_=row)
        )

    async def delete(self, workspace_id: WorkspaceId, key: str) -> None:
        """Delete the entry under a key, if it exists."""
        await self._connection.execute(
            sa.delete(entries).where(entries.c.workspace_id == workspace_id, entries.c.key == key)
        )

    async def delete_expired(self, *, limit: int) -> int:
        """Delete at most `limit` expired entries; return their number."""
        expired = sa.select(entries.c.workspace_id, entries.c.key).where(entries.c.expires_at <= self._now)
        oldest = expired.order_by(entries.c.expires_at).limit(limit).with_for_update(skip_locked=True)
        deleted = await self._connection.execute(
            sa.delete(entries).where(
                sa.tuple_(entries.c.workspace_id, entries.c.key).in_(oldest), entries.c.expires_at <= self._now
            )
        )
        return deleted.rowcount

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the entries of these workspaces."""
        await self._connection.execute(sa.delete(entries).where(entries.c.workspace_id.in_(ids)))
