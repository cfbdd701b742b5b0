"""What the provisioner reported last of each start."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE registry.provisioning (
            workspace_id text NOT NULL,
            generation bigint NOT NULL,
            step text NOT NULL,
            reason text NOT NULL,
            missing text NOT NULL,
            next_attempt_at timestamptz,
            events text NOT NULL,
            since timestamptz NOT NULL,
            CONSTRAINT provisioning_pkey PRIMARY KEY (workspace_id)
        )
        """
    )
