"""The table of the audit log, and the trigger that refuses to change or delete its rows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deeds",
        sa.Column("place", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False, comment="JSON, kept as text: its bytes are part of the digest"),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False, comment="which key linked the row; empty for none"),
        sa.PrimaryKeyConstraint("place", name="deeds_pkey"),
        sa.UniqueConstraint("id", name="deeds_id_key"),
        schema="auth",
    )
    op.create_index(
        "deeds_of_workspace",
        "deeds",
        ["workspace_id", "place"],
        schema="auth",
        postgresql_where=sa.text("workspace_id <> ''"),
    )
    op.create_index(
        "deeds_of_org", "deeds", ["org_id", "place"], schema="auth", postgresql_where=sa.text("org_id <> ''")
    )
    op.execute(
        "CREATE FUNCTION auth.deeds_are_only_added() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'deeds are only added'; END $$"
    )
    op.execute(
        "CREATE TRIGGER deeds_are_only_added BEFORE UPDATE OR DELETE ON auth.deeds "
        "FOR EACH STATEMENT EXECUTE FUNCTION auth.deeds_are_only_added()"
    )
