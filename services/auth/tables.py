"""The schema `auth`."""

import sqlalchemy as sa

from services.chassis.database import metadata

SCHEMA = "auth"
"""The schema, and nobody else's."""

AUTH = metadata(SCHEMA)

PLACEMENTS = sa.Table(
    "placements",
    AUTH,
    sa.Column("workspace_id", sa.Text, primary_key=True),
    sa.Column("org_id", sa.Text, nullable=False),
    sa.Column("lowest_generation", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("placed_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("confirmed_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("barred_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("inbound_secret", sa.Text, comment="sealed; null where there is none yet"),
)

sa.Index("placements_unconfirmed", PLACEMENTS.c.placed_at, postgresql_where=PLACEMENTS.c.confirmed_at.is_(None))

TOKENS = sa.Table(
    "tokens",
    AUTH,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(PLACEMENTS.c.workspace_id, ondelete="CASCADE"), nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("last_used_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("revoked_at", sa.TIMESTAMP(timezone=True)),
)

sa.Index("tokens_of_workspace", TOKENS.c.workspace_id, TOKENS.c.revoked_at)

REVOCATIONS = sa.Table(
    "revocations",
    AUTH,
    # From 2 on: revision 1 is where the feed stands before the first revocation, and 0 is no revision.
    sa.Column("revision", sa.BigInteger, sa.Identity(start=2), primary_key=True),
    sa.Column("workspace_id", sa.Text),
    sa.Column("token_digest", sa.LargeBinary),
    sa.Column("revoked_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint("num_nonnulls(workspace_id, token_digest) = 1", name="one_scope"),
)
