"""The table of what the provisioner reported last of each start.

It is apart from `workspaces`, because a report needs no revision: only people read it. It has no foreign key, because
the check would lock the rows of workspaces.
"""

import sqlalchemy as sa

from services.registry.store.tables.schema import META

provisioning = sa.Table(
    "provisioning",
    META,
    sa.Column("workspace_id", sa.Text, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("missing", sa.Text, nullable=False),
    sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
    sa.Column("events", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
)
