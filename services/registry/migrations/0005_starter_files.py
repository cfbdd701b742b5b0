"""The table of starter files; templates, briefs and removal reasons of workspaces."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    alter table registry.workspaces
        add column template text not null default '',
        add column kit text not null default '',
        add column brief text not null default '',
        add column removal_reason text not null default 'deleted'
    """,
    "create index workspaces_kit on registry.workspaces (kit) where kit <> ''",
    """
    create table registry.kit_files (
        kit text not null,
        path text not null,
        content text not null,
        constraint kit_files_pkey primary key (kit, path)
    )
    """,
)


def upgrade() -> None:
    """Add the columns and the table."""
    for statement in STATEMENTS:
        op.execute(statement)
