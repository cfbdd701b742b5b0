"""Pages of workspaces, peers and events."""

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
from services.registry.workspace.model import Workspace, WorkspaceId


@dataclass(frozen=True, slots=True)
class ListPosition:
    """Where a list goes on: after this name and id, with this text in name or role, for so many."""

    limit: int
    after: tuple[str, str] | None = None
    query: str = ""


class WorkspaceLists:
    """What is read some at a time."""

    def __init__(self, reader: IdentityMap) -> None:
        self._identity_map = reader

    async def list_by_ids(self, ids: Sequence[WorkspaceId]) -> list[Workspace]:
        """Those of the workspaces that are known, also removed ones."""
        return await self._identity_map.load(_SELECT_BY_IDS, {"ids": list(ids)})

    async def list_page(self, *, after: tuple[datetime, str] | None, limit: int, org_id: str | None) -> list[Workspace]:
        """Workspaces that are not removed, by creation, then id; of one organisation if it is given."""
        statement = tables.select_workspaces.where(tables.is_not_removed)
        if org_id is not None:
            statement = statement.where(workspaces.c.org_id == org_id)
        if after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.created_at, workspaces.c.id) > after)
        return await self._identity_map.load(statement.order_by(workspaces.c.created_at, workspaces.c.id).limit(limit))

    async def list_siblings(self, workspace: Workspace, place: ListPosition) -> list[Workspace]:
        """The others with its parent; of a root, the other roots."""
        shared = workspaces.c.parent_id
        same = shared.is_(None) if workspace.parent_id is None else shared == workspace.parent_id
        return await self._list_peers(sa.and_(same, workspaces.c.id != workspace.id), place)

    async def list_children(self, workspace: Workspace, place: ListPosition) -> list[Workspace]:
        """Those right below it."""
        return await self._list_peers(workspaces.c.parent_id == workspace.id, place)

    async def list_parent(self, workspace: Workspace, place: ListPosition) -> list[Workspace]:
        """The one right above it, if any."""
        return await self._list_peers(workspaces.c.id == workspace.parent_id, place)

    async def _list_peers(self, related: sa.ColumnElement[bool], place: ListPosition) -> list[Workspace]:
        statement = tables.select_workspaces.where(tables.is_not_removed, related)
        if place.query:
            statement = statement.where(tables.contains_text(place.query))
        if place.after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.name, workspaces.c.id) > place.after)
        return await self._identity_map.load(statement.order_by(workspaces.c.name, workspaces.c.id).limit(place.limit))

    async def list_newest_events(self, *, limit: int, workspace_id: str, org_id: str | None) -> list[Event]:
        """The newest events, newest first."""
        statement = _select_events(workspace_id, org_id).order_by(events.c.event_id.desc()).limit(limit)
        return [tables.build_event(row) for row in await self._identity_map.connection.execute(statement)]

    async def list_events_after(
        self, event_id: int, *, limit: int, workspace_id: str, org_id: str | None
    ) -> list[Event]:
        """The events after one, oldest first."""
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
