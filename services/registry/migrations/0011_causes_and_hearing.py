"""The columns that say how often and how an instance ended, and the record of when the plane could hear agents."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.execute("ALTER TABLE registry.workspaces ADD COLUMN restart_count integer DEFAULT 0 NOT NULL")
    op.execute("ALTER TABLE registry.workspaces ADD COLUMN last_exit_at timestamp with time zone")
    op.execute("ALTER TABLE registry.workspaces ADD COLUMN last_exit_code integer")
    op.execute("ALTER TABLE registry.workspaces ADD COLUMN last_exit_reference text DEFAULT '' NOT NULL")
    op.execute(
        """
        CREATE TABLE registry.hearing (
            id integer PRIMARY KEY CHECK (id = 1),
            since timestamp with time zone NOT NULL,
            until timestamp with time zone NOT NULL
        )
        """
    )
