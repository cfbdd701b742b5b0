"""The table that stores how far back events are kept."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table that stores the id of the newest deleted event."""
    op.execute(
        """
        create table registry.event_horizon (
            one boolean not null default true constraint event_horizon_pkey primary key,
            event_id bigint not null,
            constraint event_horizon_one_check check (one)
        )
        """
    )
