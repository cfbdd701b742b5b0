"""The recordings of streams, their events, and the proxies that write them."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    op.create_table(
        "streams",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("owner_id", sa.Uuid),
        sa.Column("owner_org_id", sa.Text),
        sa.Column("writer_id", sa.Uuid, nullable=False),
        sa.Column("dialect", sa.Text, nullable=False),
        sa.Column("request_id", sa.LargeBinary, nullable=False),
        sa.Column("task_id", sa.Text),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ending", sa.Text),
        sa.PrimaryKeyConstraint("id", name="streams_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "stream_events",
        sa.Column("stream_id", sa.Uuid, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "seq", name="stream_events_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "stream_writers",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="stream_writers_pkey"),
        schema=SCHEMA,
    )
    has_task, has_owner = sa.text("task_id IS NOT NULL"), sa.text("owner_id IS NOT NULL")
    op.create_index("streams_task", "streams", ["target_id", "task_id"], schema=SCHEMA, postgresql_where=has_task)
    op.create_index("streams_target", "streams", ["target_id"], schema=SCHEMA)
    op.create_index("streams_owner", "streams", ["owner_id"], schema=SCHEMA, postgresql_where=has_owner)
    op.create_index("streams_ended", "streams", ["ended_at"], schema=SCHEMA)
