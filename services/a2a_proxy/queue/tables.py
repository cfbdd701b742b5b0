"""The tables of the queue."""

import sqlalchemy as sa

from services.a2a_proxy.queue.model import MessageState
from services.a2a_proxy.tables import METADATA

QUEUED_MESSAGES = sa.Table(
    "queued_messages",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("seq", sa.BigInteger, sa.Identity(), nullable=False),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("caller_id", sa.Uuid(as_uuid=False)),
    sa.Column("caller_label", sa.Text),
    sa.Column("identity", sa.LargeBinary),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("is_idempotent", sa.Boolean, nullable=False),
    sa.Column("is_logged", sa.Boolean, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("busy_answers", sa.Integer, nullable=False),
    sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
    sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("dispatched_at", sa.DateTime(timezone=True)),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("lease_kind", sa.Text),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_generation", sa.BigInteger, nullable=False),
    sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
    sa.Column("last_error", sa.Text),
    sa.Column("answer_status", sa.Integer),
    sa.Column("answer_headers", sa.Text),
    sa.Column("answer_body", sa.LargeBinary),
    sa.Column("attempts", sa.Text, nullable=False),
    sa.Column("caller_org_id", sa.Text),
    sa.Column("context_id", sa.Text),
    sa.Column("answer_state", sa.Text),
    sa.Column("caller_token_id", sa.Text),
    sa.CheckConstraint(sa.column("state").in_([state.value for state in MessageState]), name="state"),
)
"""Accepted messages. `seq` grows in the order of commits. Headers and attempts are JSON texts."""

_columns = QUEUED_MESSAGES.c

IS_QUEUED = _columns.state == sa.literal_column("'queued'")
IS_DISPATCHING = _columns.state == sa.literal_column("'dispatching'")
IS_STUCK = sa.or_(*(_columns.state == sa.literal_column(state) for state in ("'dead'", "'unknown'")))

sa.Index("queued_messages_identity", _columns.identity, unique=True)
sa.Index("queued_messages_seq", _columns.seq)
sa.Index(
    "queued_messages_order", _columns.target_id, _columns.priority.desc(), _columns.seq, postgresql_where=IS_QUEUED
)
sa.Index("queued_messages_due", _columns.target_id, _columns.not_before, postgresql_where=IS_QUEUED)
sa.Index(
    "queued_messages_expiry",
    _columns.expires_at,
    postgresql_where=sa.and_(IS_QUEUED, _columns.expires_at.is_not(None)),
)
sa.Index("queued_messages_leases", _columns.lease_expires_at, postgresql_where=IS_DISPATCHING)
sa.Index("queued_messages_stuck", _columns.seq, postgresql_where=IS_STUCK)
sa.Index("queued_messages_targets", _columns.target_id, _columns.state, _columns.seq)
sa.Index("queued_messages_callers", _columns.caller_id, _columns.seq)
sa.Index("queued_messages_ended", _columns.ended_at, postgresql_where=_columns.ended_at.is_not(None))

QUEUE_TARGETS = sa.Table(
    "queue_targets",
    METADATA,
    sa.Column("target_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("accepted", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("held_bytes", sa.BigInteger, nullable=False),
    sa.Column("erased_completed", sa.BigInteger, nullable=False),
    sa.Column("erased_expired", sa.BigInteger, nullable=False),
    sa.Column("erased_dropped", sa.BigInteger, nullable=False),
)
"""Of each target: how many messages were accepted, how many may still be delivered, and the erased ones by state."""

ERASED_COUNTERS = {
    MessageState.COMPLETED: QUEUE_TARGETS.c.erased_completed,
    MessageState.EXPIRED: QUEUE_TARGETS.c.erased_expired,
    MessageState.DROPPED: QUEUE_TARGETS.c.erased_dropped,
}
"""The counters of erased messages. One that might still have been delivered counts as dropped."""

QUEUE_CALLERS = sa.Table(
    "queue_callers",
    METADATA,
    sa.Column("caller_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("held", sa.BigInteger, nullable=False),
)
"""Of each calling workspace: how many of its messages may still be delivered."""
