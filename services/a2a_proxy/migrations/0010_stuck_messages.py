"""An index of the dead and unknown messages, which operators list among all others."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    stuck = sa.text("state = 'dead' OR state = 'unknown'")
    op.create_index("queued_messages_stuck", "queued_messages", ["seq"], schema=SCHEMA, postgresql_where=stuck)
