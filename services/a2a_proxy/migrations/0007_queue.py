"""Accepted messages, and counters of them for each target and each calling workspace."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    states = "'queued', 'dispatching', 'completed', 'unknown', 'dead', 'expired', 'dropped'"
    op.create_table(
        "queued_messages",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("seq", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("caller_id", sa.Uuid),
        sa.Column("caller_label", sa.Text),
        sa.Column("identity", sa.LargeBinary),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("is_idempotent", sa.Boolean, nullable=False),
        sa.Column("is_logged", sa.Boolean, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("busy_answers", sa.Integer, nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("lease_kind", sa.Text),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_generation", sa.BigInteger, nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text),
        sa.Column("answer_status", sa.Integer),
        sa.Column("answer_headers", sa.Text),
        sa.Column("answer_body", sa.LargeBinary),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="queued_messages_pkey"),
        sa.CheckConstraint(f"state IN ({states})", name="queued_messages_state_check"),
        schema=SCHEMA,
    )
    queued, dispatching = sa.text("state = 'queued'"), sa.text("state = 'dispatching'")
    _create_index("identity", ["identity"], unique=True)
    _create_index("seq", ["seq"])
    _create_index("order", ["target_id", sa.text("priority DESC"), "seq"], postgresql_where=queued)
    _create_index("expiry", ["expires_at"], postgresql_where=sa.text("state = 'queued' AND expires_at IS NOT NULL"))
    _create_index("leases", ["lease_expires_at"], postgresql_where=dispatching)
    _create_index("targets", ["target_id", "state", "seq"])
    _create_index("callers", ["caller_id", "seq"])
    _create_index("ended", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL"))
    op.create_table(
        "queue_targets",
        sa.Column("target_id", sa.Uuid, nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in (
                "accepted",
                "held",
                "held_bytes",
                "erased_completed",
                "erased_unknown",
                "erased_dead",
                "erased_expired",
                "erased_dropped",
            )
        ),
        sa.PrimaryKeyConstraint("target_id", name="queue_targets_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "queue_callers",
        sa.Column("caller_id", sa.Uuid, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("caller_id", name="queue_callers_pkey"),
        schema=SCHEMA,
    )


def _create_index(name: str, columns: list, **options: object) -> None:
    op.create_index(f"queued_messages_{name}", "queued_messages", columns, schema=SCHEMA, **options)
