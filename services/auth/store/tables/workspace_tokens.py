"""The table of workspace tokens, and the condition under which a token is live."""

import sqlalchemy as sa

from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.schema import AUTH, NOW

WORKSPACE_TOKENS = sa.Table(
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
    sa.Column("parent_token_id", sa.Text, comment="minted it, and ends it; null for none"),
)

sa.Index("tokens_of_workspace", WORKSPACE_TOKENS.c.workspace_id, WORKSPACE_TOKENS.c.revoked_at)
sa.Index(
    "tokens_of_parent",
    WORKSPACE_TOKENS.c.parent_token_id,
    postgresql_where=WORKSPACE_TOKENS.c.parent_token_id.is_not(None),
)

UNREVOKED_AND_UNEXPIRED = sa.and_(
    WORKSPACE_TOKENS.c.revoked_at.is_(None),
    sa.or_(WORKSPACE_TOKENS.c.expires_at.is_(None), WORKSPACE_TOKENS.c.expires_at > NOW),
)
"""The part of `LIVE_TOKEN` that needs no join."""

LIVE_TOKEN = sa.and_(
    UNREVOKED_AND_UNEXPIRED,
    PLACEMENTS.c.barred_at.is_(None),
    sa.or_(WORKSPACE_TOKENS.c.generation.is_(None), WORKSPACE_TOKENS.c.generation >= PLACEMENTS.c.lowest_generation),
)
"""Whether a token is live, for queries that join both tables. No other place defines this."""

LIVE_TOKENS_OF_PLACEMENT = (
    sa.select(WORKSPACE_TOKENS.c.id)
    .where(WORKSPACE_TOKENS.c.workspace_id == PLACEMENTS.c.workspace_id, LIVE_TOKEN)
    .correlate(PLACEMENTS)
)
"""The live tokens of the placement of the enclosing query."""
