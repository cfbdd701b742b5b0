"""The table of approvals."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table registry.approvals (
        id text constraint approvals_pkey primary key,
        workspace_id text not null,
        action text not null,
        reason text not null,
        task_id text not null,
        context text not null,
        decision text not null,
        decided_by text,
        decided_at timestamptz,
        created_at timestamptz not null,
        constraint approvals_decision_check check (decision in ('pending', 'approved', 'denied'))
    )
    """,
    "create index approvals_own on registry.approvals (workspace_id, created_at, id)",
    "create index approvals_waiting on registry.approvals (created_at, id) where decision = 'pending'",
    "create index approvals_created on registry.approvals (created_at)",
)


def upgrade() -> None:
    """Create the table of approvals."""
    for statement in STATEMENTS:
        op.execute(statement)
