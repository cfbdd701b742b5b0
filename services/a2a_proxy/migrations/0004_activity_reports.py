"""A mark of the rows that agents report, so that none of them is taken for a message that waits for a polling agent."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "activities",
        sa.Column("is_report", sa.Boolean, nullable=False, server_default=sa.false()),
        schema="a2a_proxy",
    )
