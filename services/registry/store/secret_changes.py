"""How far the changes of secrets were followed, and whom a change of all concerns."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.registry.store.identity_map import Reader, locked
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.secret_changes import turnovers
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import EXTERNAL, Workspace, WorkspaceId
from services.registry.workspace.state_machine import RESTARTED_BY_ITSELF


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The last change that was carried out; and of one that is being carried out, the last workspace it has reached."""

    finished: int = 0
    under_way: int = 0
    within: str = ""


class Renewals:
    """Who is to be renewed, within a transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def mark(self) -> Mark:
        """How far the changes were followed."""
        row = (await self._reader.connection.execute(sa.select(turnovers))).one_or_none()
        return Mark(finished=row.finished, under_way=row.under_way, within=row.within) if row else Mark()

    async def put_mark(self, mark: Mark) -> None:
        """Remember it, with whatever else this transaction does."""
        values = {"finished": mark.finished, "under_way": mark.under_way, "within": mark.within}
        put = insert(turnovers).values(id=1, **values)
        await self._reader.connection.execute(put.on_conflict_do_update(index_elements=["id"], set_=values))

    async def running(self, *, after: str, limit: int) -> Sequence[Workspace]:
        """Workspaces whose instance the plane starts by itself, locked, in the order of their ids."""
        statuses = [tables.literal(status) for status in sorted(RESTARTED_BY_ITSELF)]
        statement = (
            tables.everything.where(workspaces.c.id > after, workspaces.c.status.in_(statuses))
            .where(workspaces.c.runtime != EXTERNAL)
            .order_by(workspaces.c.id)
            .limit(limit)
        )
        return await self._reader.listed(locked(statement))

    async def one(self, workspace_id: WorkspaceId) -> Sequence[Workspace]:
        """The workspace, locked, if it is there."""
        known = (workspaces.c.id == workspace_id, workspaces.c.purged_at.is_(None))
        return await self._reader.listed(locked(tables.everything.where(*known)))
