"""Reads ancestors and descendants, and locks the tree."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from services.registry.store.identity_map import IdentityMap, with_row_locks
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.hierarchy import MAX_ANCESTOR_DISTANCE, Lineage
from services.registry.workspace.model import Status, Workspace, WorkspaceId

TREE_LOCK = 0x4D6F6C02
"""The advisory lock under which the tree changes its shape."""

MAX_DEPTH = 1000
"""Levels at which a recursive query stops."""


class TreeQueries:
    """The tree, within one transaction."""

    def __init__(self, identity_map: IdentityMap) -> None:
        self._identity_map = identity_map

    async def lock(self) -> None:
        """Lock the shape of the tree until the transaction ends; must be taken before any row lock."""
        await self._identity_map.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TREE_LOCK)))

    async def get_lineage(self, workspace_id: WorkspaceId) -> Lineage:
        """Return the workspace and its ancestors, the nearest first; empty for an unknown workspace."""
        found = await self._identity_map.connection.execute(
            sa.select(_above.c.id).order_by(_above.c.level), {"start": workspace_id}
        )
        return tuple(found.scalars())

    async def find_paused_ancestor(self, workspace_id: WorkspaceId) -> str | None:
        """Return the name of the nearest paused ancestor, if any."""
        statement = (
            sa.select(workspaces.c.name)
            .join_from(_above, workspaces, workspaces.c.id == _above.c.id)
            .where(_above.c.level > 0, workspaces.c.status == tables.render_status(Status.PAUSED))
            .order_by(_above.c.level)
            .limit(1)
        )
        name: str | None = await self._identity_map.connection.scalar(statement, {"start": workspace_id})
        return name

    async def list_subtree_ids(self, workspace_id: WorkspaceId) -> Sequence[WorkspaceId]:
        """Return the ids of the workspace and its descendants in any status: level by level, each by name."""
        found = await self._identity_map.connection.execute(
            sa.select(_below.c.id).order_by(_below.c.level, _below.c.name, _below.c.id), {"start": workspace_id}
        )
        return found.scalars().all()

    async def list_reachable_ids(self, workspace_id: WorkspaceId) -> Sequence[WorkspaceId]:
        """Return the ids with which `hierarchy.may_communicate` holds, its own included; empty for an unknown one."""
        itself = workspaces.alias()
        same_parent = workspaces.c.parent_id.is_not_distinct_from(itself.c.parent_id)
        beside = sa.select(workspaces.c.id).join_from(itself, workspaces, same_parent)
        beside = beside.where(
            itself.c.id == sa.bindparam("start"), itself.c.purged_at.is_(None), workspaces.c.purged_at.is_(None)
        )
        above = sa.select(_above.c.id).where(_above.c.level <= MAX_ANCESTOR_DISTANCE)
        below = sa.select(_below.c.id).where(_below.c.level <= MAX_ANCESTOR_DISTANCE)
        found = await self._identity_map.connection.execute(sa.union(above, below, beside), {"start": workspace_id})
        return found.scalars().all()

    async def list_children(self, workspace_id: WorkspaceId) -> list[Workspace]:
        """Return its children that are not removed, the oldest first."""
        statement = tables.select_workspaces.where(tables.is_not_removed, workspaces.c.parent_id == workspace_id)
        return await self._identity_map.load(statement.order_by(workspaces.c.created_at, workspaces.c.id))

    async def lock_present(self, ids: Iterable[WorkspaceId]) -> dict[WorkspaceId, Workspace]:
        """Lock those of these workspaces that are not removed, in the order of their ids; return them by id."""
        statement = tables.select_workspaces.where(workspaces.c.id.in_(list(ids)), tables.is_not_removed)
        found = await self._identity_map.load(with_row_locks(statement.order_by(workspaces.c.id)))
        return {workspace.id: workspace for workspace in found}

    async def lock_subtree(self, workspace_id: WorkspaceId) -> list[Workspace]:
        """Lock and return the workspace and its descendants; requires the lock of the tree."""
        order = {found: number for number, found in enumerate(await self.list_subtree_ids(workspace_id))}
        statement = tables.select_workspaces.where(workspaces.c.id.in_(order)).order_by(workspaces.c.id)
        found = await self._identity_map.load(with_row_locks(statement))
        return sorted(found, key=lambda workspace: order[workspace.id])


def _walk(name: str, *, upwards: bool) -> sa.CTE:
    start = workspaces.c.id == sa.bindparam("start")
    place = workspaces.c.id, workspaces.c.parent_id, workspaces.c.name
    walk = sa.select(*place, sa.literal(0).label("level")).where(start, workspaces.c.purged_at.is_(None))
    seen = walk.cte(name, recursive=True)
    step = workspaces.c.id == seen.c.parent_id if upwards else workspaces.c.parent_id == seen.c.id
    further = sa.select(*place, seen.c.level + 1).join_from(seen, workspaces, step)
    return seen.union_all(further.where(seen.c.level < MAX_DEPTH))


_above = _walk("above", upwards=True)
_below = _walk("below", upwards=False)
