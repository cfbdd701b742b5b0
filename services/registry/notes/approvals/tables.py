"""The table of approvals."""

from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from services.registry.notes.approvals.rules import Approval, ApprovalDecision
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
    sa.CheckConstraint(sa.column("decision").in_([decision.value for decision in ApprovalDecision]), name="decision"),
)

_columns = approvals.c

is_pending = _columns.decision == sa.literal_column(f"'{ApprovalDecision.PENDING.value}'")
"""Whether no decision is stored."""

sa.Index("approvals_own", _columns.workspace_id, _columns.created_at, _columns.id)
sa.Index("approvals_waiting", _columns.created_at, _columns.id, postgresql_where=is_pending)
sa.Index("approvals_created", _columns.created_at)


def approval_from_row(row: sa.Row[Any]) -> Approval:
    values = row._mapping  # noqa: SLF001 - the name is public in spite of its underscore
    return Approval(**{name: values[name] for name in _COLUMNS} | {"decision": ApprovalDecision(row.decision)})


def row_from_approval(approval: Approval) -> dict[str, Any]:
    return {name: getattr(approval, name) for name in _COLUMNS} | {"decision": approval.decision.value}


_COLUMNS = tuple(field.name for field in fields(Approval))
