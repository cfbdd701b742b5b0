"""How far the changes of secrets were followed, and whom a change of all concerns."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.registry.store.identity_map import IdentityMap, with_row_locks
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.secret_changes import rollout_cursors
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import EXTERNAL, Workspace, WorkspaceId
from services.registry.workspace.state_machine import AUTO_RESTART_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutCursor:
    """The last change that was carried out; and of one that is being carried out, the last workspace it has reached."""

    finished: int = 0
    under_way: int = 0
    within: str = ""


class SecretRolloutStore:
    """Who is to be renewed, within a transaction."""

    def __init__(self, reader: IdentityMap) -> None:
        self._identity_map = reader

    async def get_cursor(self) -> RolloutCursor:
        """How far the changes were followed."""
        row = (await self._identity_map.connection.execute(sa.select(rollout_cursors))).one_or_none()
        return (
            RolloutCursor(finished=row.finished, under_way=row.under_way, within=row.within) if row else RolloutCursor()
        )

    async def save_cursor(self, mark: RolloutCursor) -> None:
        """Remember it, with whatever else this transaction does."""
        values = {"finished": mark.finished, "under_way": mark.under_way, "within": mark.within}
        put = insert(rollout_cursors).values(id=1, **values)
        await self._identity_map.connection.execute(put.on_conflict_do_update(index_elements=["id"], set_=values))

    async def lock_restartable(self, *, after: str, limit: int) -> Sequence[Workspace]:
        """Workspaces whose instance the plane starts by itself, locked, in the order of their ids."""
        statuses = [tables.render_status(status) for status in sorted(AUTO_RESTART_STATUSES)]
        statement = (
            tables.select_workspaces.where(workspaces.c.id > after, workspaces.c.status.in_(statuses))
            .where(workspaces.c.runtime != EXTERNAL)
            .order_by(workspaces.c.id)
            .limit(limit)
        )
        return await self._identity_map.load(with_row_locks(statement))

    async def lock_workspace(self, workspace_id: WorkspaceId) -> Sequence[Workspace]:
        """The workspace, locked, if it is there."""
        known = (workspaces.c.id == workspace_id, workspaces.c.purged_at.is_(None))
        return await self._identity_map.load(with_row_locks(tables.select_workspaces.where(*known)))
