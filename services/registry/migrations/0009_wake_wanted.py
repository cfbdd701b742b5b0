"""A hibernating workspace may be wanted again before it hibernates."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the wish."""
    op.execute("ALTER TABLE registry.workspaces ADD COLUMN wake_wanted boolean DEFAULT false NOT NULL")
