"""An index of the events that hold a large payload, which are cards: only the newest of a workspace keep it."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX events_with_card ON registry.events (workspace_id, event_id)
        WHERE type IN ('WORKSPACE_ONLINE', 'AGENT_CARD_UPDATED') AND octet_length(payload) > 1024
        """
    )
