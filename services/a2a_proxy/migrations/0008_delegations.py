"""Delegations, and the key of their lineage tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    statuses = "'pending', 'dispatched', 'queued', 'completed', 'failed', 'cancelled', 'expired'"
    op.create_table(
        "delegations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("delegation_id", sa.Text, nullable=False),
        sa.Column("source_id", sa.Uuid, nullable=False),
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("is_recorded", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("root_id", sa.Uuid, nullable=False),
        sa.Column("parent_id", sa.Uuid),
        sa.Column("ancestors", ARRAY(sa.Uuid), nullable=False),
        sa.Column("depth", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("budget", sa.BigInteger),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("is_at_work", sa.Boolean, nullable=False),
        sa.Column("was_busy", sa.Boolean, nullable=False),
        sa.Column("via_inbox", sa.Boolean, nullable=False),
        sa.Column("task_id", sa.Text),
        sa.Column("follow_up_id", sa.Uuid),
        sa.Column("follow_ups", sa.Integer, nullable=False),
        sa.Column("task_preview", sa.Text, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="delegations_pkey"),
        sa.CheckConstraint(f"status IN ({statuses})", name="delegations_status_check"),
        schema=SCHEMA,
    )
    _create_index("public_id", ["source_id", "delegation_id"], unique=True)
    has_key = sa.text("idempotency_key IS NOT NULL")
    _create_index("key", ["source_id", "idempotency_key"], unique=True, postgresql_where=has_key)
    _create_index("newest", ["source_id", "created_at"])
    _create_index("root", ["root_id"])
    _create_index("target", ["target_id"])
    _create_index("due", ["deadline"], postgresql_where=sa.text("ended_at IS NULL"))
    _create_index("ended", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL"))
    _create_index("follow_up", ["follow_up_id"], postgresql_where=sa.text("follow_up_id IS NOT NULL"))
    op.create_table(
        "lineage_keys",
        sa.Column("id", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="lineage_keys_pkey"),
        schema=SCHEMA,
    )


def _create_index(name: str, columns: list, **options: object) -> None:
    op.create_index(f"delegations_{name}", "delegations", columns, schema=SCHEMA, **options)
