"""Reads pages of workspaces, peers and events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import events, workspaces
from services.registry.workspace.events import Event
from services.registry.workspace.model import Status, Workspace, WorkspaceId


@dataclass(frozen=True, slots=True)
class ListPosition:
    """A page of peers: at most `limit` after a name and id, with the query text in their name or role."""

    limit: int
    after: tuple[str, str] | None = None
    query: str = ""


class WorkspaceLists:
    """Lists of workspaces and events, within one transaction."""

    def __init__(self, identity_map: IdentityMap) -> None:
        self._identity_map = identity_map

    async def list_by_ids(self, ids: Sequence[WorkspaceId]) -> list[Workspace]:
        """Return the workspaces with these ids that exist, removed ones included."""
        return await self._identity_map.load(_SELECT_BY_IDS, {"ids": list(ids)})

    async def list_page(self, *, after: tuple[datetime, str] | None, limit: int, org_id: str | None) -> list[Workspace]:
        """Return workspaces that are not removed, by creation time, then id; of one organisation if it is given."""
        statement = tables.select_workspaces.where(tables.is_not_removed)
        if org_id is not None:
            statement = statement.where(workspaces.c.org_id == org_id)
        if after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.created_at, workspaces.c.id) > after)
        return await self._identity_map.load(statement.order_by(workspaces.c.created_at, workspaces.c.id).limit(limit))

    async def count_by_status(self) -> dict[Status, int]:
        """Return how many workspaces have each status; removed ones are not counted."""
        counted = sa.select(workspaces.c.status, sa.func.count()).where(tables.is_not_removed)
        rows = await self._identity_map.connection.execute(counted.group_by(workspaces.c.status))
        return {row[0]: row[1] for row in rows}

    async def list_siblings(self, workspace: Workspace, position: ListPosition) -> list[Workspace]:
        """Return the other workspaces with its parent; for a root, the other roots."""
        shared = workspaces.c.parent_id
        same = shared.is_(None) if workspace.parent_id is None else shared == workspace.parent_id
        return await self._list_peers(sa.and_(same, workspaces.c.id != workspace.id), position)

    async def list_children(self, workspace: Workspace, position: ListPosition) -> list[Workspace]:
        """Return its children."""
        return await self._list_peers(workspaces.c.parent_id == workspace.id, position)

    async def list_parent(self, workspace: Workspace, position: ListPosition) -> list[Workspace]:
        """Return its parent, if any."""
        return await self._list_peers(workspaces.c.id == workspace.parent_id, position)

    async def _list_peers(self, related: sa.ColumnElement[bool], position: ListPosition) -> list[Workspace]:
        statement = tables.select_workspaces.where(tables.is_not_removed, related)
        if position.query:
            statement = statement.where(tables.contains_text(position.query))
        if position.after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.name, workspaces.c.id) > position.after)
        return await self._identity_map.load(
            statement.order_by(workspaces.c.name, workspaces.c.id).limit(position.limit)
        )

    async def list_newest_events(self, *, limit: int, workspace_id: str, org_id: str | None) -> list[Event]:
        """Return the newest events, newest first."""
        statement = _select_events(workspace_id, org_id).order_by(events.c.event_id.desc()).limit(limit)
        return [tables.build_event(row) for row in await self._identity_map.connection.execute(statement)]

    async def list_events_after(
        self, event_id: int, *, limit: int, workspace_id: str, org_id: str | None
    ) -> list[Event]:
        """Return the events after an id, oldest first."""
        statement = _select_events(workspace_id, org_id).where(events.c.event_id > event_id)
        found = await self._identity_map.connection.execute(statement.order_by(events.c.event_id).limit(limit))
        return [tables.build_event(row) for row in found]


def _select_events(workspace_id: str, org_id: str | None) -> sa.Select[Any]:
    statement = sa.select(events)
    if org_id is not None:
        statement = statement.where(events.c.org_id == org_id)
    return statement.where(events.c.workspace_id == workspace_id) if workspace_id else statement


_SELECT_BY_IDS = tables.select_workspaces.where(
    workspaces.c.id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.Text))), workspaces.c.purged_at.is_(None)
)
"""One statement for any number of ids, so that it is prepared once."""
