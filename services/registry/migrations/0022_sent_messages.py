"""When a workspace last sent a message that was answered or accepted (`last_outbound_at`)."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Messages before the upgrade are not known."""
    op.execute("ALTER TABLE registry.reported_work ADD COLUMN sent_at timestamptz")
