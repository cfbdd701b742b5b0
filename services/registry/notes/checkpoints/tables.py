"""The table of checkpoints."""

from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.store.tables.schema import META

checkpoints = sa.Table(
    "checkpoints",
    META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("workflow_id", sa.Text, nullable=False),
    sa.Column("step_name", sa.Text, nullable=False),
    sa.Column("step_index", sa.Integer, nullable=False),
    sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("payload", sa.Text),
    sa.Index("checkpoints_step", "workspace_id", "workflow_id", "step_name", unique=True),
    sa.Index("checkpoints_order", "workspace_id", "workflow_id", "step_index", "step_name"),
    sa.Index("checkpoints_latest", "workspace_id", "completed_at", "step_index"),
)


def checkpoint_from_row(row: sa.Row[Any]) -> Checkpoint:
    return Checkpoint(**{name: row._mapping[name] for name in _COLUMNS})  # noqa: SLF001 - public in spite of its name


def row_from_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in _COLUMNS}


_COLUMNS = tuple(field.name for field in fields(Checkpoint))
