"""The bytes that the activity of each workspace occupies, for retention by size."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activity_usage",
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name="activity_usage_pkey"),
        schema="a2a_proxy",
    )
    op.execute(
        """
        INSERT INTO a2a_proxy.activity_usage
        SELECT workspace_id, sum(256 + coalesce(octet_length(request_body), 0)
            + coalesce(octet_length(response_body), 0) + coalesce(octet_length(tool_trace), 0))
        FROM a2a_proxy.activities GROUP BY workspace_id
        """
    )
