"""The tables of delegations and of the key of lineage tokens."""

from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.a2a_proxy.delegations.model import Delegation, DelegationStatus
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.tables import METADATA

DELEGATIONS = sa.Table(
    "delegations",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("delegation_id", sa.Text, nullable=False),
    sa.Column("source_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("is_recorded", sa.Boolean, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("root_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("parent_id", sa.Uuid(as_uuid=False)),
    sa.Column("ancestors", ARRAY(sa.Uuid(as_uuid=False)), nullable=False),
    sa.Column("depth", sa.Integer, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
    sa.Column("result_at", sa.DateTime(timezone=True)),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("budget", sa.BigInteger),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("is_at_work", sa.Boolean, nullable=False),
    sa.Column("was_busy", sa.Boolean, nullable=False),
    sa.Column("via_inbox", sa.Boolean, nullable=False),
    sa.Column("task_id", sa.Text),
    sa.Column("follow_up_id", sa.Uuid(as_uuid=False)),
    sa.Column("follow_ups", sa.Integer, nullable=False),
    sa.Column("task_preview", sa.Text, nullable=False),
    sa.Column("text", sa.Text),
    sa.Column("error", sa.Text),
    sa.CheckConstraint(sa.column("status").in_([status.value for status in DelegationStatus]), name="status"),
)
"""Delegations. The id is also that of the message which carries the task."""

_columns = DELEGATIONS.c

IS_OPEN = _columns.ended_at.is_(None)

sa.Index("delegations_public_id", _columns.source_id, _columns.delegation_id, unique=True)
sa.Index(
    "delegations_key",
    _columns.source_id,
    _columns.idempotency_key,
    unique=True,
    postgresql_where=_columns.idempotency_key.is_not(None),
)
sa.Index("delegations_newest", _columns.source_id, _columns.created_at)
sa.Index("delegations_root", _columns.root_id)
sa.Index("delegations_target", _columns.target_id)
sa.Index("delegations_due", _columns.deadline, postgresql_where=IS_OPEN)
sa.Index("delegations_ended", _columns.ended_at, postgresql_where=_columns.ended_at.is_not(None))
sa.Index("delegations_follow_up", _columns.follow_up_id, postgresql_where=_columns.follow_up_id.is_not(None))

LINEAGE_KEYS = sa.Table(
    "lineage_keys",
    METADATA,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.LargeBinary, nullable=False),
)
"""The key of the lineage tokens, one row, which the first delegation creates and all replicas share."""


def delegation_from_row(row: sa.Row[Any]) -> Delegation:
    """Return a row as a delegation."""
    values = row._mapping  # noqa: SLF001 - the name is public in spite of its underscore
    return Delegation(
        **{name: values[name] for name in COLUMNS}
        | {
            "source_id": WorkspaceId(row.source_id),
            "target_id": WorkspaceId(row.target_id),
            "status": DelegationStatus(row.status),
            "ancestors": tuple(row.ancestors),
        }
    )


def row_from_delegation(delegation: Delegation) -> dict[str, Any]:
    """Return a delegation as a row."""
    return {name: getattr(delegation, name) for name in COLUMNS} | {
        "status": delegation.status.value,
        "ancestors": list(delegation.ancestors),
    }


COLUMNS = tuple(field.name for field in fields(Delegation))
