"""What a card requires of callers, which headers its extensions name, and what its signatures prove.

They are read when a card is stored. Until the agent of an older card registers again, nothing is known of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("agent_security", "extension_headers", "card_signature"):
        op.add_column("workspaces", sa.Column(name, sa.Text, nullable=False, server_default=""), schema="registry")
