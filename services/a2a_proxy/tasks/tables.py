"""The register of the tasks that agents work on."""

import sqlalchemy as sa

from services.a2a_proxy.tables import METADATA

TASKS = sa.Table(
    "tasks",
    METADATA,
    sa.Column("target_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("task_id", sa.Text, primary_key=True),
    sa.Column("owner_id", sa.Uuid(as_uuid=False)),
    sa.Column("owner_org_id", sa.Text),
    sa.Column("context_id", sa.Text),
    sa.Column("queue_id", sa.Uuid(as_uuid=False)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("owner_token_id", sa.Text),
)
"""Who made each task of an agent. `owner_id` is a workspace; `queue_id` the message that the agent answered with it."""

CONTEXTS = sa.Table(
    "contexts",
    METADATA,
    sa.Column("target_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("context_id", sa.Text, primary_key=True),
    sa.Column("owner_id", sa.Uuid(as_uuid=False)),
    sa.Column("owner_org_id", sa.Text),
    sa.Column("owner_token_id", sa.Text),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
)
"""Who began each conversation with an agent."""

_columns, _contexts = TASKS.c, CONTEXTS.c

sa.Index("tasks_seen", _columns.target_id, _columns.seen_at)
sa.Index("tasks_owner", _columns.owner_id, _columns.target_id, postgresql_where=_columns.owner_id.is_not(None))
sa.Index("contexts_seen", _contexts.target_id, _contexts.seen_at)
sa.Index("contexts_owner", _contexts.owner_id, postgresql_where=_contexts.owner_id.is_not(None))
