"""Rows into workspaces, remembered as they were read."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import vitals, workspaces
from services.registry.workspace.model import Workspace, WorkspaceId


class IdentityMap:
    """What one transaction has read. Saving compares with it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.loaded: dict[WorkspaceId, Workspace] = {}

    async def load(self, statement: sa.Select[Any], values: Mapping[str, Any] | None = None) -> list[Workspace]:
        """The workspaces of a statement over `tables.select_workspaces`."""
        return [self.remember(row) for row in await self.connection.execute(statement, values)]

    def remember(self, row: sa.Row[Any]) -> Workspace:
        """The workspace in a row."""
        workspace = tables.build_workspace(row)
        self.loaded[workspace.id] = workspace
        return workspace


def with_row_locks(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Both rows, so that no heartbeat comes between reading and writing."""
    return statement.with_for_update(of=[workspaces, vitals])
