"""The tables of memories and entries."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table registry.memories (
        id text constraint memories_pkey primary key,
        workspace_id text not null,
        scope text not null,
        namespace text not null,
        content text not null,
        search tsvector not null,
        created_at timestamptz not null,
        constraint memories_scope_check check (scope in ('LOCAL', 'TEAM', 'GLOBAL'))
    )
    """,
    "create index memories_own on registry.memories (workspace_id, created_at, id)",
    "create index memories_team on registry.memories (workspace_id, created_at, id) where scope = 'TEAM'",
    "create index memories_global on registry.memories (created_at, id) where scope = 'GLOBAL'",
    "create index memories_search on registry.memories using gin (search)",
    """
    create table registry.entries (
        workspace_id text not null,
        key text not null,
        value text not null,
        version bigint not null,
        updated_at timestamptz not null,
        expires_at timestamptz,
        constraint entries_pkey primary key (workspace_id, key)
    )
    """,
    "create index entries_expiry on registry.entries (expires_at) where expires_at is not null",
)


def upgrade() -> None:
    """Create the tables of memories and entries."""
    for statement in STATEMENTS:
        op.execute(statement)
