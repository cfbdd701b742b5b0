"""An index of the workspaces that count as running, for the limits of running workspaces."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX workspaces_running ON registry.workspaces (org_id)
        WHERE runtime <> 'external' AND backend <> 'none'
            AND status IN ('provisioning', 'online', 'degraded', 'offline', 'hibernating')
        """
    )
