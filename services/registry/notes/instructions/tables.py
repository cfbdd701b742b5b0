"""The table of instructions."""

from typing import Any

import sqlalchemy as sa

from services.registry.notes.instructions.rules import Instruction
from services.registry.store.tables.schema import META
from services.registry.workspace.model import WorkspaceId

ALL_AGENTS = ""
"""The target of an instruction for all agents."""

instructions = sa.Table(
    "instructions",
    META,
    sa.Column("id", sa.Text, primary_key=True),
    # Empty for all agents, so that those come first.
    sa.Column("target", sa.Text, nullable=False),
    # The negated priority, so that one ascending index has the order of every list.
    sa.Column("rank", sa.BigInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("instructions_order", "target", "rank", "created_at", "id", unique=True),
)


def instruction_from_row(row: sa.Row[Any]) -> Instruction:
    return Instruction(
        id=row.id,
        target=None if row.target == ALL_AGENTS else WorkspaceId(row.target),
        title=row.title,
        content=row.content,
        priority=-row.rank,
        enabled=row.enabled,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def row_from_instruction(instruction: Instruction) -> dict[str, Any]:
    return {
        "id": instruction.id,
        "target": instruction.target or ALL_AGENTS,
        "title": instruction.title,
        "content": instruction.content,
        "rank": -instruction.priority,
        "enabled": instruction.enabled,
        "created_at": instruction.created_at,
        "updated_at": instruction.updated_at,
    }
