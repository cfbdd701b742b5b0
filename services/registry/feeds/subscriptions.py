"""What a caller may hear of, and what it has missed."""

from dataclasses import dataclass, replace
from typing import assert_never

from services.chassis.errors import PermissionDenied
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.errors.events import EventIdGone
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import audiences, events
from services.registry.workspace.audiences import Audiences
from services.registry.workspace.events import Event, EventFilter, EventRange
from services.registry.workspace.model import Status, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The circles to listen to: these, and those of `subscribed_as` as they change. `over`: nothing more will happen.

    `head` is the last event that there is.
    """

    subscribed_to: Audiences = ()
    subscribed_as: str = ""
    over: bool = False
    head: int = 0


@dataclass(frozen=True, slots=True)
class Replay:
    """Events that were missed, and whether there are more."""

    events: list[Event]
    more: bool


class Views:
    """Says who may hear what: of one workspace, or of all that the caller may communicate with."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def resolve(self, caller: Identity, workspace_id: str, after: int | None) -> View:
        """What the caller may listen to; raises `EventIdGone` if it cannot go on after that event."""
        async with self._store.begin() as tx:
            view = await self._of_one(tx, caller, workspace_id) if workspace_id else _of_caller(caller)
            if after is not None and not await tx.events.get_horizon() <= after <= await tx.events.get_last_number():
                raise EventIdGone
            return replace(view, head=await tx.events.get_head())

    async def replay(self, caller: Identity, workspace_id: str, stretch: EventRange, *, size: int) -> Replay:
        """The first of the events of a stretch that the caller may hear of; raises `EventIdGone`."""
        async with self._store.begin() as tx:
            scope = await self._scope(tx, caller, workspace_id)
            found = await tx.events.list_range(stretch, scope, limit=size)
            if stretch.after < await tx.events.get_horizon():
                raise EventIdGone
        told = list(events.take_page(found))
        return Replay(told, more=len(told) < len(found) or len(found) == size)

    async def _of_one(self, tx: Transaction, caller: Identity, workspace_id: str) -> View:
        workspace = await access.require_access(tx, _itself(caller, workspace_id), WorkspaceId(workspace_id))
        return View(
            subscribed_to=(audiences.name_workspace_audience(workspace_id),), over=workspace.status is Status.REMOVED
        )

    async def _scope(self, tx: Transaction, caller: Identity, workspace_id: str) -> EventFilter:
        if workspace_id:
            await access.require_access(tx, _itself(caller, workspace_id), WorkspaceId(workspace_id))
            return EventFilter(workspace_ids=(WorkspaceId(workspace_id),))
        match caller.kind:
            case Kind.ADMIN | Kind.ANONYMOUS:
                return EventFilter()
            case Kind.ORG:
                return EventFilter(org_id=caller.org_id)
            case Kind.WORKSPACE:
                return EventFilter(workspace_ids=await tx.tree.list_reachable_ids(WorkspaceId(caller.name)))
            case Kind.SERVICE:
                raise PermissionDenied
            case _:
                assert_never(caller.kind)


def _of_caller(caller: Identity) -> View:
    match caller.kind:
        case Kind.ADMIN | Kind.ANONYMOUS:
            return View(subscribed_to=(audiences.EVERYTHING,))
        case Kind.ORG:
            return View(subscribed_to=(audiences.name_org_audience(caller.org_id),))
        case Kind.WORKSPACE:
            return View(subscribed_as=caller.name)
        case Kind.SERVICE:
            raise PermissionDenied
        case _:
            assert_never(caller.kind)


def _itself(caller: Identity, workspace_id: str) -> Identity:
    """The caller, if it may listen to one workspace alone: of workspaces only that one itself."""
    if caller.kind is Kind.WORKSPACE and caller.name != workspace_id:
        raise PermissionDenied
    return caller
