"""Reads and writes configurations and the viewport within one transaction."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.notes.configs.rules import EMPTY_CONFIG, Viewport
from services.registry.notes.configs.tables import configs, viewports
from services.registry.workspace.model import WorkspaceId


class ConfigStore:
    """The tables of configurations and of the viewport."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, workspace_id: WorkspaceId) -> str:
        """Return the object of a workspace as JSON text."""
        own = sa.select(configs.c.data).where(configs.c.workspace_id == workspace_id)
        return await self._connection.scalar(own) or EMPTY_CONFIG

    async def put(self, workspace_id: WorkspaceId, data: str) -> None:
        """Insert or replace the object of a workspace."""
        statement = insert(configs).values(workspace_id=workspace_id, data=data)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["workspace_id"], set_={"data": data})
        )

    async def get_viewport(self) -> Viewport:
        """Return the stored viewport, or the default."""
        row = (await self._connection.execute(sa.select(viewports))).one_or_none()
        return Viewport() if row is None else Viewport(x=row.x, y=row.y, zoom=row.zoom)

    async def put_viewport(self, viewport: Viewport) -> None:
        """Insert or replace the viewport."""
        row = {"x": viewport.x, "y": viewport.y, "zoom": viewport.zoom}
        statement = insert(viewports).values(id=1, **row)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))

    async def delete_of_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the objects of these workspaces."""
        await self._connection.execute(sa.delete(configs).where(configs.c.workspace_id.in_(ids)))
