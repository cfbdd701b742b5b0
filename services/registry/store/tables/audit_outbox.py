"""The table of audit records that are not sent to auth yet."""

import sqlalchemy as sa

from services.registry.store.tables.schema import META

audit_outbox = sa.Table(
    "deeds",
    META,
    sa.Column("place", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("org_id", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
)
