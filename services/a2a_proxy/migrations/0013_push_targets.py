"""Where the push notifications of agents go, and the notifications that wait to be sent."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    op.create_table(
        "push_targets",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("owner_id", sa.Uuid),
        sa.Column("task_id", sa.Text),
        sa.Column("config_id", sa.Text),
        sa.Column("dialect", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="push_targets_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "push_notifications",
        sa.Column("seq", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("reads_task", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="push_notifications_pkey"),
        sa.ForeignKeyConstraint(
            ["digest"], [f"{SCHEMA}.push_targets.digest"], name="push_notifications_digest_fkey", ondelete="CASCADE"
        ),
        schema=SCHEMA,
    )
    op.create_index("push_targets_task", "push_targets", ["target_id", "task_id"], schema=SCHEMA)
    owned, due = sa.text("owner_id IS NOT NULL"), sa.text("due_at IS NOT NULL")
    op.create_index("push_targets_owner", "push_targets", ["owner_id"], schema=SCHEMA, postgresql_where=owned)
    op.create_index("push_targets_due", "push_targets", ["due_at"], schema=SCHEMA, postgresql_where=due)
    op.create_index("push_targets_seen", "push_targets", ["seen_at"], schema=SCHEMA)
    op.create_index("push_notifications_order", "push_notifications", ["digest", "seq"], schema=SCHEMA)
    op.create_index("push_notifications_target", "push_notifications", ["target_id"], schema=SCHEMA)
