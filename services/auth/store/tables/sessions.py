"""The table of browser sessions, and the condition under which a session is live."""

import sqlalchemy as sa

from services.auth.store.tables.org_tokens import ORG_TOKENS
from services.auth.store.tables.schema import AUTH, NOW

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

UNEXPIRED_SESSION = SESSIONS.c.expires_at > NOW
"""Whether a session is live, as long as the token that opened it is."""
