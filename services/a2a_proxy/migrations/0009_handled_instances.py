"""The instances whose start has been dealt with by a message of the plane."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    op.create_table(
        "handled_instances",
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("notice_id", sa.Uuid),
        sa.PrimaryKeyConstraint("workspace_id", name="handled_instances_pkey"),
        schema=SCHEMA,
    )
