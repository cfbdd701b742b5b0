"""The activity table."""

import sqlalchemy as sa

from services.chassis.database import build_metadata

SCHEMA = "a2a_proxy"
"""The database schema of this service."""

METADATA = build_metadata(SCHEMA)

ACTIVITIES = sa.Table(
    "activities",
    METADATA,
    sa.Column("workspace_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("id", sa.Uuid(as_uuid=False), nullable=False, unique=True),
    sa.Column("activity_type", sa.Text, nullable=False),
    sa.Column("source_id", sa.Uuid(as_uuid=False)),
    sa.Column("target_id", sa.Uuid(as_uuid=False)),
    sa.Column("method", sa.Text),
    sa.Column("summary", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("duration_ms", sa.BigInteger),
    sa.Column("error_detail", sa.Text),
    sa.Column("request_body", sa.Text),
    sa.Column("response_body", sa.Text),
    sa.Column("tool_trace", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("is_report", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index(None, "created_at", postgresql_using="brin"),
    sa.Index(None, "source_id", postgresql_using="btree"),
)
"""Actions of agents, and messages to them. `seq` grows in the order of commits; bodies are JSON texts, unchanged."""

ACTIVITY_USAGE = sa.Table(
    "activity_usage",
    METADATA,
    sa.Column("workspace_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)
"""The bytes that the activity of each workspace occupies; each transaction that adds or deletes rows updates them."""
