"""The tables of organisation tokens and browser sessions, and the expiry of workspace tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("note", sa.Text), schema="auth")
    op.add_column("tokens", sa.Column("expires_at", sa.TIMESTAMP(timezone=True)), schema="auth")
    op.add_column(
        "tokens",
        sa.Column("rotated_at", sa.TIMESTAMP(timezone=True), comment="another has taken its place"),
        schema="auth",
    )
    op.create_table(
        "org_tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of the token"),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("rotated_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="org_tokens_pkey"),
        sa.UniqueConstraint("digest", name="org_tokens_digest_key"),
        sa.ForeignKeyConstraint(
            ["org_id"], ["auth.placements.workspace_id"], ondelete="CASCADE", name="org_tokens_org_id_fkey"
        ),
        schema="auth",
    )
    op.create_index("org_tokens_of_org", "org_tokens", ["org_id", "revoked_at"], schema="auth")
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of the session's token"),
        sa.Column("org_token_id", sa.Text),
        sa.Column("operator_mark", sa.LargeBinary, comment="binds to the ADMIN_TOKEN that opened it"),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="sessions_pkey"),
        sa.ForeignKeyConstraint(
            ["org_token_id"], ["auth.org_tokens.id"], ondelete="CASCADE", name="sessions_org_token_id_fkey"
        ),
        sa.CheckConstraint("num_nonnulls(org_token_id, operator_mark) = 1", name=op.f("sessions_one_opener_check")),
        schema="auth",
    )
    op.create_index("sessions_of_org_token", "sessions", ["org_token_id"], schema="auth")
    op.create_index("sessions_expiring", "sessions", ["expires_at"], schema="auth")
