"""An index of senders, with which a purge finds the messages that a workspace sent without reading the whole log."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("activities_source_id", "activities", ["source_id"], schema="a2a_proxy")
