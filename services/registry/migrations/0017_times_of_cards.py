"""When a card was stored, for clients that ask whether it has changed since. Older cards count as stored now."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE registry.cards ADD COLUMN stored_at timestamptz NOT NULL DEFAULT date_trunc('second', now())"
    )
    op.alter_column("cards", "stored_at", server_default=None, schema="registry")
