"""The index of the workspaces that count as running also holds those that failed."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX registry.workspaces_running")
    op.execute(
        """
        CREATE INDEX workspaces_running ON registry.workspaces (org_id)
        WHERE runtime <> 'external' AND backend <> 'none'
            AND status IN ('degraded', 'failed', 'hibernating', 'offline', 'online', 'provisioning')
        """
    )
