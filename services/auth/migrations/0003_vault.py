"""The tables of secrets and their changes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("workspace_id", sa.Text),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False, comment="bytes of the value"),
        sa.Column("key_version", sa.Text, nullable=False, comment="of the key that sealed it"),
        sa.Column("key_id", sa.Text, nullable=False, comment="of the key that sealed it"),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="secrets_pkey"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["auth.placements.workspace_id"], ondelete="CASCADE", name="secrets_workspace_id_fkey"
        ),
        schema="auth",
    )
    op.create_index(
        "secrets_global",
        "secrets",
        ["key"],
        unique=True,
        schema="auth",
        postgresql_where=sa.text("workspace_id IS NULL"),
    )
    op.create_index(
        "secrets_of_workspace",
        "secrets",
        ["workspace_id", "key"],
        unique=True,
        schema="auth",
        postgresql_where=sa.text("workspace_id IS NOT NULL"),
    )
    op.create_index(
        "secrets_overriding",
        "secrets",
        ["key"],
        schema="auth",
        postgresql_where=sa.text("workspace_id IS NOT NULL"),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("workspace_id", sa.Text),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="changes_pkey"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["auth.placements.workspace_id"], ondelete="CASCADE", name="changes_workspace_id_fkey"
        ),
        schema="auth",
    )
    op.create_index("changes_of_secret", "changes", ["workspace_id", "key"], schema="auth")
