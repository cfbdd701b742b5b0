"""The targets of push notifications, and the notifications that wait for them."""

import sqlalchemy as sa

from services.a2a_proxy.tables import METADATA

PUSH_TARGETS = sa.Table(
    "push_targets",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("owner_id", sa.Uuid(as_uuid=False)),
    sa.Column("task_id", sa.Text),
    sa.Column("config_id", sa.Text),
    sa.Column("dialect", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("due_at", sa.DateTime(timezone=True)),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("owner_token_id", sa.Text),
)
"""Where notifications go. `due_at` is when the oldest one that waits is sent, or when its lease ends."""

PUSH_NOTIFICATIONS = sa.Table(
    "push_notifications",
    METADATA,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("key", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("reads_task", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(["digest"], [PUSH_TARGETS.c.digest], ondelete="CASCADE"),
)
"""Notifications that wait, in the order in which they came. `key` opens the config of the target."""

_targets, _notifications = PUSH_TARGETS.c, PUSH_NOTIFICATIONS.c

sa.Index("push_targets_task", _targets.target_id, _targets.task_id)
sa.Index("push_targets_owner", _targets.owner_id, postgresql_where=_targets.owner_id.is_not(None))
sa.Index("push_targets_of_owner", _targets.target_id, _targets.owner_id, _targets.owner_token_id, _targets.seen_at)
sa.Index("push_targets_due", _targets.due_at, postgresql_where=_targets.due_at.is_not(None))
sa.Index("push_targets_seen", _targets.seen_at)
sa.Index("push_notifications_order", _notifications.digest, _notifications.seq)
sa.Index("push_notifications_target", _notifications.target_id)
