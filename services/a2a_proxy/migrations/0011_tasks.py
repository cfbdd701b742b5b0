"""The tasks of agents with their owners, and what stands for a queued message as a task."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Uuid),
        sa.Column("owner_org_id", sa.Text),
        sa.Column("context_id", sa.Text),
        sa.Column("queue_id", sa.Uuid),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("target_id", "task_id", name="tasks_pkey"),
        schema=SCHEMA,
    )
    op.create_index("tasks_seen", "tasks", ["target_id", "seen_at"], schema=SCHEMA)
    owned = sa.text("owner_id IS NOT NULL")
    op.create_index("tasks_owner", "tasks", ["owner_id", "target_id"], schema=SCHEMA, postgresql_where=owned)
    for name in ("caller_org_id", "context_id", "answer_state"):
        op.add_column("queued_messages", sa.Column(name, sa.Text), schema=SCHEMA)
