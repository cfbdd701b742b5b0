"""How far back events are kept."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the place where the highest forgotten event is remembered."""
    op.execute(
        """
        create table registry.event_horizon (
            one boolean not null default true constraint event_horizon_pkey primary key,
            event_id bigint not null,
            constraint event_horizon_one_check check (one)
        )
        """
    )
