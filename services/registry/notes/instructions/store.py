"""Reads and writes instructions within one transaction."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.instructions import tables
from services.registry.notes.instructions.rules import Instruction, InstructionScope
from services.registry.notes.instructions.tables import ALL_AGENTS, instructions
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import WorkspaceId

InstructionPosition = tuple[str, int, datetime, str]
"""The position of an instruction in the list: target, rank, time of creation and id."""


class InstructionStore:
    """The table of instructions. Lists begin with those for all agents; the order is workspace, priority, age."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, instruction: Instruction) -> None:
        """Insert a new instruction; does nothing if its id is known."""
        statement = insert(instructions).values(tables.row_from_instruction(instruction))
        await self._connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))

    async def count(self, target: WorkspaceId | None) -> int:
        """Return the number of instructions for a workspace, or for all agents."""
        same = sa.select(sa.func.count()).where(instructions.c.target == (target or ALL_AGENTS))
        return await self._connection.scalar(same) or 0

    async def find_for_update(self, instruction_id: str) -> Instruction | None:
        """Lock and return an instruction."""
        statement = sa.select(instructions).where(instructions.c.id == instruction_id).with_for_update()
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else tables.instruction_from_row(row)

    async def list_page(
        self,
        *,
        scope: InstructionScope | None,
        target: str,
        org_id: str | None,
        after: InstructionPosition | None,
        limit: int,
    ) -> list[Instruction]:
        """Return instructions after a position; if given, those of one scope, workspace or organisation."""
        statement = sa.select(instructions).where(*_build_conditions(scope, target))
        if org_id is not None:
            own = sa.select(workspaces.c.id).where(workspaces.c.org_id == org_id)
            statement = statement.where(instructions.c.target.in_(own))
        if after is not None:
            statement = statement.where(sa.tuple_(*_LIST_ORDER) > after)
        found = await self._connection.execute(statement.order_by(*_LIST_ORDER).limit(limit))
        return [tables.instruction_from_row(row) for row in found]

    async def list_enabled(self, workspace_id: WorkspaceId) -> Sequence[Instruction]:
        """Return the enabled instructions for a workspace and for all agents."""
        enabled = sa.select(instructions).where(
            instructions.c.target.in_((ALL_AGENTS, workspace_id)), instructions.c.enabled.is_(True)
        )
        return [
            tables.instruction_from_row(row) for row in await self._connection.execute(enabled.order_by(*_LIST_ORDER))
        ]

    async def update(self, instruction: Instruction) -> None:
        """Update a locked instruction."""
        row = tables.row_from_instruction(instruction)
        await self._connection.execute(sa.update(instructions).where(instructions.c.id == instruction.id).values(row))

    async def delete(self, instruction: Instruction) -> None:
        await self._connection.execute(sa.delete(instructions).where(instructions.c.id == instruction.id))

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the instructions for these workspaces."""
        await self._connection.execute(sa.delete(instructions).where(instructions.c.target.in_(ids)))


def _build_conditions(scope: InstructionScope | None, target: str) -> list[sa.ColumnElement[bool]]:
    conditions = []
    match scope:
        case InstructionScope.GLOBAL:
            conditions.append(instructions.c.target == ALL_AGENTS)
        case InstructionScope.WORKSPACE:
            conditions.append(instructions.c.target > ALL_AGENTS)
        case None:
            pass
    if target:
        conditions.append(instructions.c.target == target)
    return conditions


_LIST_ORDER = (instructions.c.target, instructions.c.rank, instructions.c.created_at, instructions.c.id)
