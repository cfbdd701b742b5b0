"""Reads and writes memories within one transaction."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.memories import tables
from services.registry.notes.memories.rules import Memory, MemoryQuery, MemoryScope
from services.registry.notes.memories.tables import memories
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import WorkspaceId

TEXT_SEARCH_LANGUAGE: sa.ColumnElement[str] = sa.literal_column("'english'")

MIN_WORD_QUERY_LENGTH = 2
"""Characters of a query that is searched for as words. A shorter one is searched for as a substring."""


LITERAL_PATTERN = "***="
"""The beginning of a regular expression of PostgreSQL in which each further character stands for itself."""


class MemoryStore:
    """The table of memories."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, new: Sequence[Memory]) -> None:
        """Insert new memories; those whose ids are known are left out."""
        if new:
            rows = [tables.row_from_memory(memory) for memory in new]
            await self._connection.execute(_INSERT, rows)

    async def measure(self, workspace_id: WorkspaceId) -> tuple[int, int]:
        """Return the number of memories that a workspace wrote, and the bytes of their contents."""
        size = sa.func.coalesce(sa.func.sum(sa.func.octet_length(memories.c.content)), 0)
        own = sa.select(sa.func.count(), size).where(memories.c.workspace_id == workspace_id)
        row = (await self._connection.execute(own)).one()
        return row[0], int(row[1])

    async def search(self, reader: WorkspaceId, lead: WorkspaceId, query: MemoryQuery) -> list[Memory]:
        """Return the memories that match and that `reader`, of the team of `lead`, may read."""
        statement = tables.select_memories.where(_build_scope_condition(query.scope, reader, lead))
        if query.namespace:
            statement = statement.where(memories.c.namespace == query.namespace)
        newest = memories.c.created_at.desc(), memories.c.id.desc()
        if len(query.query) >= MIN_WORD_QUERY_LENGTH:
            words = sa.func.websearch_to_tsquery(TEXT_SEARCH_LANGUAGE, query.query)
            best = sa.func.ts_rank(memories.c.search, words).desc()
            statement = statement.where(memories.c.search.op("@@")(words)).order_by(best, *newest)
        else:
            if query.query:
                statement = statement.where(memories.c.content.icontains(query.query, autoescape=True))
            statement = statement.order_by(*newest)
        found = await self._connection.execute(statement.limit(query.limit))
        return [tables.memory_from_row(row) for row in found]

    async def find(self, author: WorkspaceId, text: str, *, limit: int) -> list[Memory]:
        """Return the newest memories of every scope that `author` wrote and that contain the text.

        The collation limits the comparison of case to ASCII letters. LIKE would need time in proportion to the product
        of the lengths of text and memory; the matcher of regular expressions needs their sum.
        """
        statement = tables.select_memories.where(memories.c.workspace_id == author)
        if text:
            contains = [
                sa.collate(column, "C").regexp_match(f"{LITERAL_PATTERN}{text}", flags="i")
                for column in (memories.c.namespace, memories.c.content)
            ]
            statement = statement.where(sa.or_(*contains))
        newest = statement.order_by(memories.c.created_at.desc(), memories.c.id.desc())
        return [tables.memory_from_row(row) for row in await self._connection.execute(newest.limit(limit))]

    async def delete(self, workspace_id: WorkspaceId, memory_id: str) -> bool:
        """Delete a memory of the workspace; false if it does not exist."""
        own = sa.delete(memories).where(memories.c.id == memory_id, memories.c.workspace_id == workspace_id)
        return (await self._connection.execute(own)).rowcount > 0

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the memories that these workspaces wrote."""
        await self._connection.execute(sa.delete(memories).where(memories.c.workspace_id.in_(ids)))


def _build_scope_condition(scope: MemoryScope | None, reader: WorkspaceId, lead: WorkspaceId) -> sa.ColumnElement[bool]:
    match scope:
        case None:
            return memories.c.workspace_id == reader
        case MemoryScope.LOCAL:
            return sa.and_(memories.c.workspace_id == reader, memories.c.scope == MemoryScope.LOCAL)
        case MemoryScope.TEAM:
            team = sa.select(workspaces.c.id).where(workspaces.c.parent_id == lead)
            return sa.and_(tables.is_team, memories.c.workspace_id.in_(team.union_all(sa.select(sa.literal(lead)))))
        case MemoryScope.GLOBAL:
            return tables.is_global


_INSERT = (
    insert(memories)
    .values(
        {
            **{name: sa.bindparam(name) for name in tables.COLUMNS},
            "search": sa.func.to_tsvector(TEXT_SEARCH_LANGUAGE, sa.bindparam("content")),
        }
    )
    .on_conflict_do_nothing(index_elements=["id"])
)
