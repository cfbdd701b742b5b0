"""What agents remember, as one transaction sees it."""

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
"""Characters from which on words are looked for, and not characters."""


class MemoryStore:
    """Memories of workspaces."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, some: Sequence[Memory]) -> None:
        """Keep new memories; one whose id is kept already stays as it is."""
        if some:
            rows = [tables.row_from_memory(memory) for memory in some]
            await self._connection.execute(_INSERT, rows)

    async def count(self, workspace_id: WorkspaceId) -> int:
        """How many a workspace has written."""
        own = sa.select(sa.func.count()).where(memories.c.workspace_id == workspace_id)
        return await self._connection.scalar(own) or 0

    async def search(self, reader: WorkspaceId, lead: WorkspaceId, question: MemoryQuery) -> list[Memory]:
        """The memories that `reader`, of the team of `lead`, looks for."""
        statement = tables.select_memories.where(_build_scope_condition(question.scope, reader, lead))
        if question.namespace:
            statement = statement.where(memories.c.namespace == question.namespace)
        newest = memories.c.created_at.desc(), memories.c.id.desc()
        if len(question.query) >= MIN_WORD_QUERY_LENGTH:
            words = sa.func.websearch_to_tsquery(TEXT_SEARCH_LANGUAGE, question.query)
            best = sa.func.ts_rank(memories.c.search, words).desc()
            statement = statement.where(memories.c.search.op("@@")(words)).order_by(best, *newest)
        else:
            if question.query:
                statement = statement.where(memories.c.content.icontains(question.query, autoescape=True))
            statement = statement.order_by(*newest)
        found = await self._connection.execute(statement.limit(question.limit))
        return [tables.memory_from_row(row) for row in found]

    async def delete(self, workspace_id: WorkspaceId, memory_id: str) -> bool:
        """Delete a memory of the workspace; whether there was one."""
        own = sa.delete(memories).where(memories.c.id == memory_id, memories.c.workspace_id == workspace_id)
        return (await self._connection.execute(own)).rowcount > 0

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete everything that these workspaces have."""
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
            **{
                name: sa.bindparam(name)
                for name in ("id", "workspace_id", "scope", "namespace", "content", "created_at")
            },
            "search": sa.func.to_tsvector(TEXT_SEARCH_LANGUAGE, sa.bindparam("content")),
        }
    )
    .on_conflict_do_nothing(index_elements=["id"])
)
