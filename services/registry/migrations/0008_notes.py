"""The tables of instructions, checkpoints, configurations and the viewport."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table registry.instructions (
        id text constraint instructions_pkey primary key,
        target text not null,
        rank bigint not null,
        title text not null,
        content text not null,
        enabled boolean not null,
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
    """,
    "create unique index instructions_order on registry.instructions (target, rank, created_at, id)",
    """
    create table registry.checkpoints (
        id text constraint checkpoints_pkey primary key,
        workspace_id text not null,
        workflow_id text not null,
        step_name text not null,
        step_index integer not null,
        completed_at timestamptz not null,
        payload text
    )
    """,
    "create unique index checkpoints_step on registry.checkpoints (workspace_id, workflow_id, step_name)",
    "create index checkpoints_order on registry.checkpoints (workspace_id, workflow_id, step_index, step_name)",
    "create index checkpoints_latest on registry.checkpoints (workspace_id, completed_at, step_index)",
    """
    create table registry.configs (
        workspace_id text constraint configs_pkey primary key,
        data text not null
    )
    """,
    """
    create table registry.viewports (
        id integer constraint viewports_pkey primary key,
        x double precision not null,
        y double precision not null,
        zoom double precision not null,
        constraint viewports_single_check check (id = 1)
    )
    """,
)


def upgrade() -> None:
    """Create the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
