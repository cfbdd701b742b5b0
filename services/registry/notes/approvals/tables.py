"""What agents may not do without somebody's consent."""

from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from services.registry.notes.approvals.rules import Approval, Decision
from services.registry.store.tables.schema import META

approvals = sa.Table(
    "approvals",
    META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint(sa.column("decision").in_([decision.value for decision in Decision]), name="decision"),
)

_row = approvals.c

waiting = _row.decision == sa.literal_column(f"'{Decision.PENDING.value}'")
"""Requests that nobody has decided."""

sa.Index("approvals_own", _row.workspace_id, _row.created_at, _row.id)
sa.Index("approvals_waiting", _row.created_at, _row.id, postgresql_where=waiting)
sa.Index("approvals_created", _row.created_at)


def approval_of(row: sa.Row[Any]) -> Approval:
    """The request in a row."""
    values = row._mapping  # noqa: SLF001 - the name is public in spite of its underscore
    return Approval(**{name: values[name] for name in _NAMES} | {"decision": Decision(row.decision)})


def row_of(approval: Approval) -> dict[str, Any]:
    """The row that keeps a request."""
    return {name: getattr(approval, name) for name in _NAMES} | {"decision": approval.decision.value}


_NAMES = tuple(field.name for field in fields(Approval))
