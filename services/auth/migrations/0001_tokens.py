"""The tables of placements, workspace tokens and revocations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "placements",
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("lowest_generation", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("placed_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("barred_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("inbound_secret", sa.Text, comment="sealed; null where there is none yet"),
        sa.PrimaryKeyConstraint("workspace_id", name="placements_pkey"),
        schema="auth",
    )
    op.create_index(
        "placements_unconfirmed",
        "placements",
        ["placed_at"],
        schema="auth",
        postgresql_where=sa.text("confirmed_at IS NULL"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of the token"),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="tokens_pkey"),
        sa.UniqueConstraint("digest", name="tokens_digest_key"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["auth.placements.workspace_id"], ondelete="CASCADE", name="tokens_workspace_id_fkey"
        ),
        schema="auth",
    )
    op.create_index("tokens_of_workspace", "tokens", ["workspace_id", "revoked_at"], schema="auth")
    op.create_table(
        "revocations",
        sa.Column("revision", sa.BigInteger, sa.Identity(start=2), nullable=False),
        sa.Column("workspace_id", sa.Text),
        sa.Column("token_digest", sa.LargeBinary),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="revocations_pkey"),
        sa.CheckConstraint("num_nonnulls(workspace_id, token_digest) = 1", name=op.f("revocations_one_scope_check")),
        schema="auth",
    )
