"""The table of entries."""

from typing import Any

import sqlalchemy as sa

from services.registry.notes.entries.rules import KeyValueEntry
from services.registry.store.tables.schema import META

entries = sa.Table(
    "entries",
    META,
    sa.Column("workspace_id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
)

sa.Index("entries_expiry", entries.c.expires_at, postgresql_where=entries.c.expires_at.isnot(None))


def entry_from_row(row: sa.Row[Any]) -> KeyValueEntry:
    return KeyValueEntry(
        key=row.key, value=row.value, version=row.version, updated_at=row.updated_at, expires_at=row.expires_at
    )


def row_from_entry(entry: KeyValueEntry) -> dict[str, Any]:
    """Return the row of an entry, without the workspace id."""
    return {
        "key": entry.key,
        "value": entry.value,
        "version": entry.version,
        "updated_at": entry.updated_at,
        "expires_at": entry.expires_at,
    }
