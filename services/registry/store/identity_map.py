"""Keeps the workspaces that a transaction has read, as they were read."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import vitals, workspaces
from services.registry.workspace.model import Workspace, WorkspaceId


class IdentityMap:
    """The workspaces of one transaction by id. A save compares with them to decide what to write."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.loaded: dict[WorkspaceId, Workspace] = {}

    async def load(self, statement: sa.Select[Any], values: Mapping[str, Any] | None = None) -> list[Workspace]:
        """Return the workspaces of a statement based on `tables.select_workspaces`."""
        return [self.remember(row) for row in await self.connection.execute(statement, values)]

    def remember(self, row: sa.Row[Any]) -> Workspace:
        """Return the workspace of a row, and keep it."""
        workspace = tables.build_workspace(row)
        self.loaded[workspace.id] = workspace
        return workspace


def with_row_locks(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Lock the rows of workspace and vitals, so that no heartbeat is written between the read and the save."""
    return statement.with_for_update(of=[workspaces, vitals])
