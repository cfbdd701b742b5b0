"""The table of the instances whose start has been dealt with."""

import sqlalchemy as sa

from services.a2a_proxy.tables import METADATA

HANDLED_INSTANCES = sa.Table(
    "handled_instances",
    METADATA,
    sa.Column("workspace_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("notice_id", sa.Uuid(as_uuid=False)),
)
"""The newest instance of each workspace whose start has been dealt with, and the queue id of its restart notice."""
