"""Reads and writes the instances whose start has been dealt with."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.platform_messages.rules import HandledInstance
from services.a2a_proxy.platform_messages.tables import HANDLED_INSTANCES

_COLUMNS = HANDLED_INSTANCES.c


class HandledInstanceStore:
    """The table of handled instances, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_generations(self) -> dict[WorkspaceId, int]:
        """Return the generation of the handled instance of each workspace that has one."""
        found = await self._connection.execute(sa.select(_COLUMNS.workspace_id, _COLUMNS.generation))
        return {WorkspaceId(row.workspace_id): row.generation for row in found}

    async def find(self, workspace_id: WorkspaceId) -> HandledInstance | None:
        """Return the handled instance of a workspace."""
        own = sa.select(HANDLED_INSTANCES).where(_COLUMNS.workspace_id == workspace_id)
        row = (await self._connection.execute(own)).one_or_none()
        return None if row is None else HandledInstance(row.generation, row.notice_id)

    async def put(self, workspace_id: WorkspaceId, handled: HandledInstance) -> None:
        """Store the handled instance of a workspace unless a newer one is stored."""
        values = {"generation": handled.generation, "notice_id": handled.notice_id}
        upsert = insert(HANDLED_INSTANCES).values(workspace_id=workspace_id, **values)
        await self._connection.execute(
            upsert.on_conflict_do_update(
                index_elements=["workspace_id"],
                set_=values,
                where=_COLUMNS.generation < handled.generation,
            )
        )

    async def delete(self, workspace_id: WorkspaceId) -> None:
        """Delete the handled instance of a workspace."""
        await self._connection.execute(sa.delete(HANDLED_INSTANCES).where(_COLUMNS.workspace_id == workspace_id))
