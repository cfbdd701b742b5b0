"""The column that says that a hibernating workspace was woken before it was hibernated."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE registry.workspaces ADD COLUMN wake_wanted boolean DEFAULT false NOT NULL")
