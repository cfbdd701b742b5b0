"""What agents remember."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.registry.notes.memories.rules import Memory, Scope
from services.registry.store.tables.schema import META

memories = sa.Table(
    "memories",
    META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    # The words of the content, in their English stems.
    sa.Column("search", postgresql.TSVECTOR, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint(sa.column("scope").in_([scope.value for scope in Scope]), name="scope"),
)

_row = memories.c

shared = _row.scope == sa.literal_column(f"'{Scope.TEAM.value}'")
"""Memories of teams."""

public = _row.scope == sa.literal_column(f"'{Scope.GLOBAL.value}'")
"""Memories for everybody."""

sa.Index("memories_own", _row.workspace_id, _row.created_at, _row.id)
sa.Index("memories_team", _row.workspace_id, _row.created_at, _row.id, postgresql_where=shared)
sa.Index("memories_global", _row.created_at, _row.id, postgresql_where=public)
sa.Index("memories_search", _row.search, postgresql_using="gin")

readable = sa.select(_row.id, _row.workspace_id, _row.scope, _row.namespace, _row.content, _row.created_at)
"""All that makes up a `Memory`."""


def memory_of(row: sa.Row[Any]) -> Memory:
    """The memory in a row of `readable`."""
    return Memory(
        id=row.id,
        workspace_id=row.workspace_id,
        scope=Scope(row.scope),
        namespace=row.namespace,
        content=row.content,
        created_at=row.created_at,
    )


def row_of(memory: Memory) -> dict[str, Any]:
    """The row that keeps a memory, but for its words."""
    return {
        "id": memory.id,
        "workspace_id": memory.workspace_id,
        "scope": memory.scope.value,
        "namespace": memory.namespace,
        "content": memory.content,
        "created_at": memory.created_at,
    }
