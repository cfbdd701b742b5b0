"""The log of what passed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activities",
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("seq", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("activity_type", sa.Text, nullable=False),
        sa.Column("source_id", sa.Uuid),
        sa.Column("target_id", sa.Uuid),
        sa.Column("method", sa.Text),
        sa.Column("summary", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("error_detail", sa.Text),
        sa.Column("request_body", sa.Text),
        sa.Column("response_body", sa.Text),
        sa.Column("tool_trace", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "seq", name="activities_pkey"),
        sa.UniqueConstraint("id", name="activities_id_key"),
        schema="a2a_proxy",
    )
    op.create_index("activities_created_at", "activities", ["created_at"], schema="a2a_proxy", postgresql_using="brin")
