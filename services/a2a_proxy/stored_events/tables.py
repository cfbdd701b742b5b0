"""The table of events that the registry has not stored yet."""

import sqlalchemy as sa

from services.a2a_proxy.tables import METADATA

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("workspace_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
)
"""Events in the order in which they were written; a row is deleted once the registry has answered for it."""
