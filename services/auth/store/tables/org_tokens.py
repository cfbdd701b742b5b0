"""The table of organisation tokens, and the condition under which a token is live."""

import sqlalchemy as sa

from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.schema import AUTH, NOW

ORG_TOKENS = sa.Table(
    "org_tokens",
    AUTH,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("org_id", sa.Text, sa.ForeignKey(PLACEMENTS.c.workspace_id, ondelete="CASCADE"), nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("last_used_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("expires_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("rotated_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("revoked_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("parent_token_id", sa.Text, comment="minted it, and ends it; null for none"),
)

sa.Index("org_tokens_of_org", ORG_TOKENS.c.org_id, ORG_TOKENS.c.revoked_at)
sa.Index(
    "org_tokens_of_parent",
    ORG_TOKENS.c.parent_token_id,
    postgresql_where=ORG_TOKENS.c.parent_token_id.is_not(None),
)

LIVE_ROOT = sa.and_(PLACEMENTS.c.org_id == PLACEMENTS.c.workspace_id, PLACEMENTS.c.barred_at.is_(None))
"""Whether a placement is the root of an organisation, and not barred."""

LIVE_ORG_TOKEN = sa.and_(
    ORG_TOKENS.c.revoked_at.is_(None),
    sa.or_(ORG_TOKENS.c.expires_at.is_(None), ORG_TOKENS.c.expires_at > NOW),
    LIVE_ROOT,
)
"""Whether an organisation token is live, for queries that join it with its root. No other place defines this."""
