"""The table of the event horizon: the highest id of an event that was deleted because of its age."""

import sqlalchemy as sa

from services.registry.store.tables.schema import META

# One row at most.
event_horizon = sa.Table(
    "event_horizon",
    META,
    sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("event_id", sa.BigInteger, nullable=False),
    sa.CheckConstraint(sa.column("one"), name="one"),
)
