"""Organisation tokens and browser sessions, and what makes them live."""

import sqlalchemy as sa

from services.auth.tables.keys import NOW, PLACEMENTS
from services.auth.tables.schema import AUTH

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
)

sa.Index("org_tokens_of_org", ORG_TOKENS.c.org_id, ORG_TOKENS.c.revoked_at)

SESSIONS = sa.Table(
    "sessions",
    AUTH,
    sa.Column("digest", sa.LargeBinary, primary_key=True, comment="SHA-256 of the session's token"),
    sa.Column("org_token_id", sa.Text, sa.ForeignKey(ORG_TOKENS.c.id, ondelete="CASCADE")),
    sa.Column("operator_mark", sa.LargeBinary, comment="binds to the ADMIN_TOKEN that opened it"),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint("num_nonnulls(org_token_id, operator_mark) = 1", name="one_opener"),
)

sa.Index("sessions_of_org_token", SESSIONS.c.org_token_id)
sa.Index("sessions_expiring", SESSIONS.c.expires_at)

LIVE_ROOT = sa.and_(PLACEMENTS.c.org_id == PLACEMENTS.c.workspace_id, PLACEMENTS.c.barred_at.is_(None))
"""What makes a placement the living root of an organisation."""

LIVE_ORG_TOKEN = sa.and_(
    ORG_TOKENS.c.revoked_at.is_(None),
    sa.or_(ORG_TOKENS.c.expires_at.is_(None), ORG_TOKENS.c.expires_at > NOW),
    LIVE_ROOT,
)
"""What makes an organisation token live, for queries that join it with its root; said here and nowhere else."""

LIVE_SESSION = SESSIONS.c.expires_at > NOW
"""What makes a session live, if what opened it still is."""
