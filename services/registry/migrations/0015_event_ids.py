"""The index of event ids, with which an event of another service is stored once."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("events_id", "events", ["id"], schema="registry")
