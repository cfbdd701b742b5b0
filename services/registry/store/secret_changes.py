"""Stores how far changes of secrets are applied, and locks the workspaces that they concern."""

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
    """The last applied change, and the last workspace reached by a change that is being applied."""

    finished: int = 0
    under_way: int = 0
    within: str = ""


class SecretRolloutStore:
    """The cursor and the workspaces of a rollout, within one transaction."""

    def __init__(self, identity_map: IdentityMap) -> None:
        self._identity_map = identity_map

    async def get_cursor(self) -> RolloutCursor:
        """Return the cursor."""
        row = (await self._identity_map.connection.execute(sa.select(rollout_cursors))).one_or_none()
        return (
            RolloutCursor(finished=row.finished, under_way=row.under_way, within=row.within) if row else RolloutCursor()
        )

    async def save_cursor(self, cursor: RolloutCursor) -> None:
        """Save the cursor."""
        values = {"finished": cursor.finished, "under_way": cursor.under_way, "within": cursor.within}
        upsert = insert(rollout_cursors).values(id=1, **values)
        await self._identity_map.connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=values))

    async def lock_restartable(self, *, after: str, limit: int) -> Sequence[Workspace]:
        """Lock and return the workspaces whose instance the plane may start by itself, by id."""
        statuses = [tables.render_status(status) for status in sorted(AUTO_RESTART_STATUSES)]
        statement = (
            tables.select_workspaces.where(workspaces.c.id > after, workspaces.c.status.in_(statuses))
            .where(workspaces.c.runtime != EXTERNAL)
            .order_by(workspaces.c.id)
            .limit(limit)
        )
        return await self._identity_map.load(with_row_locks(statement))

    async def lock_workspace(self, workspace_id: WorkspaceId) -> Sequence[Workspace]:
        """Lock and return the workspace, if it exists."""
        conditions = (workspaces.c.id == workspace_id, workspaces.c.purged_at.is_(None))
        return await self._identity_map.load(with_row_locks(tables.select_workspaces.where(*conditions)))
