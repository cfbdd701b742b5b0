"""Reads and writes checkpoints within one transaction."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.checkpoints import tables
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.notes.checkpoints.tables import checkpoints
from services.registry.workspace.model import WorkspaceId


class CheckpointStore:
    """The table of checkpoints."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, checkpoint: Checkpoint) -> Checkpoint:
        """Insert a step, or replace the stored one, which keeps its id."""
        row = tables.row_from_checkpoint(checkpoint)
        statement = insert(checkpoints).values(row)
        changed = {name: row[name] for name in ("step_index", "completed_at", "payload")}
        statement = statement.on_conflict_do_update(
            index_elements=["workspace_id", "workflow_id", "step_name"], set_=changed
        )
        found = await self._connection.execute(statement.returning(*checkpoints.c))
        return tables.checkpoint_from_row(found.one())

    async def count(self, workspace_id: WorkspaceId) -> int:
        """Return the number of checkpoints of a workspace."""
        own = sa.select(sa.func.count()).where(checkpoints.c.workspace_id == workspace_id)
        return await self._connection.scalar(own) or 0

    async def find_latest(self, workspace_id: WorkspaceId) -> Checkpoint | None:
        """Return the step that was completed last."""
        own = sa.select(checkpoints).where(checkpoints.c.workspace_id == workspace_id)
        newest = own.order_by(checkpoints.c.completed_at.desc(), checkpoints.c.step_index.desc()).limit(1)
        row = (await self._connection.execute(newest)).one_or_none()
        return None if row is None else tables.checkpoint_from_row(row)

    async def list_page(
        self, workspace_id: WorkspaceId, workflow_id: str, *, before: tuple[int, str] | None, limit: int
    ) -> list[Checkpoint]:
        """Return the steps of a workflow, the highest first; with `before`, those below this index and name."""
        steps = sa.select(checkpoints).where(*_build_workflow_conditions(workspace_id, workflow_id))
        position = checkpoints.c.step_index, checkpoints.c.step_name
        if before is not None:
            steps = steps.where(sa.tuple_(*position) < before)
        found = await self._connection.execute(steps.order_by(*(column.desc() for column in position)).limit(limit))
        return [tables.checkpoint_from_row(row) for row in found]

    async def delete_workflow(self, workspace_id: WorkspaceId, workflow_id: str) -> int:
        """Delete the steps of a workflow; return their number."""
        deleted = await self._connection.execute(
            sa.delete(checkpoints).where(*_build_workflow_conditions(workspace_id, workflow_id))
        )
        return deleted.rowcount

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the checkpoints of these workspaces."""
        await self._connection.execute(sa.delete(checkpoints).where(checkpoints.c.workspace_id.in_(ids)))


def _build_workflow_conditions(workspace_id: WorkspaceId, workflow_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return checkpoints.c.workspace_id == workspace_id, checkpoints.c.workflow_id == workflow_id
