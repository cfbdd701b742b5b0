"""The table of memories."""

from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.registry.notes.memories.rules import Memory, MemoryScope
from services.registry.store.tables.schema import META

memories = sa.Table(
    "memories",
    META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    # The words of the content, reduced to their English stems.
    sa.Column("search", postgresql.TSVECTOR, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint(sa.column("scope").in_([scope.value for scope in MemoryScope]), name="scope"),
)

_columns = memories.c

is_team = _columns.scope == sa.literal_column(f"'{MemoryScope.TEAM.value}'")

is_global = _columns.scope == sa.literal_column(f"'{MemoryScope.GLOBAL.value}'")

sa.Index("memories_own", _columns.workspace_id, _columns.created_at, _columns.id)
sa.Index("memories_team", _columns.workspace_id, _columns.created_at, _columns.id, postgresql_where=is_team)
sa.Index("memories_global", _columns.created_at, _columns.id, postgresql_where=is_global)
sa.Index("memories_search", _columns.search, postgresql_using="gin")

COLUMNS = tuple(field.name for field in fields(Memory))
"""The columns of a `Memory`: all but the one for the text search."""

select_memories = sa.select(*(_columns[name] for name in COLUMNS))


def memory_from_row(row: sa.Row[Any]) -> Memory:
    """Return the memory in a row of `select_memories`."""
    values = row._mapping  # noqa: SLF001 - the name is public in spite of its underscore
    return Memory(**{name: values[name] for name in COLUMNS} | {"scope": MemoryScope(row.scope)})


def row_from_memory(memory: Memory) -> dict[str, Any]:
    """Return the row of a memory, without the column for the text search."""
    return {name: getattr(memory, name) for name in COLUMNS} | {"scope": memory.scope.value}
