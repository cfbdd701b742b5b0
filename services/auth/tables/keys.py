"""Placements, tokens and revocations, what a live token is, and the rows as the model knows them."""

from typing import Any, assert_never

import sqlalchemy as sa

from services.auth.model import Digest, Placement, RevocationTarget, RevokedToken, RevokedWorkspace, WorkspaceId
from services.auth.tables.schema import AUTH

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
    sa.Column("note", sa.Text),
    sa.Column("expires_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("rotated_at", sa.TIMESTAMP(timezone=True), comment="another has taken its place"),
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

NOW = sa.bindparam("now", type_=sa.TIMESTAMP(timezone=True))
"""The moment that queries ask about."""

DIGESTS = sa.bindparam("digests", type_=sa.ARRAY(sa.LargeBinary))
"""What queries look up."""

IN_FORCE = sa.and_(TOKENS.c.revoked_at.is_(None), sa.or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > NOW))
"""What a token needs of itself to be live."""

LIVE = sa.and_(
    IN_FORCE,
    PLACEMENTS.c.barred_at.is_(None),
    sa.or_(TOKENS.c.generation.is_(None), TOKENS.c.generation >= PLACEMENTS.c.lowest_generation),
)
"""What makes a token live, for queries that join both tables; it is said here and nowhere else."""

LIVE_TOKENS = (
    sa.select(TOKENS.c.id).where(TOKENS.c.workspace_id == PLACEMENTS.c.workspace_id, LIVE).correlate(PLACEMENTS)
)
"""The live tokens of the placement of the enclosing query."""


def placement_of(row: Any) -> Placement | None:  # noqa: ANN401 - rows are untyped
    """The placement that the row keeps, if there is a row."""
    return row and Placement(
        workspace_id=WorkspaceId(row.workspace_id),
        org_id=row.org_id,
        lowest_generation=row.lowest_generation,
        barred_at=row.barred_at,
        sealed_inbound_secret=row.inbound_secret,
    )


def scope_of(row: Any) -> RevocationTarget:  # noqa: ANN401 - rows are untyped
    """What the revocation of the row voids."""
    if row.workspace_id is not None:
        return RevokedWorkspace(WorkspaceId(row.workspace_id))
    return RevokedToken(Digest(row.token_digest))


def row_of(scope: RevocationTarget) -> dict[str, object]:
    """The columns that keep what a revocation voids."""
    match scope:
        case RevokedWorkspace(workspace_id):
            return {"workspace_id": workspace_id, "token_digest": None}
        case RevokedToken(digest):
            return {"workspace_id": None, "token_digest": digest}
        case _:
            assert_never(scope)
