"""The interfaces of a card, which the A2A proxy needs for each message.

They are read when a card is stored. Until the agent of an older card registers again, its workspace has none, and its
messages pass as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("interfaces", sa.Text, nullable=False, server_default=""), schema="registry")
