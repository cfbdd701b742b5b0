"""Decides which events a caller may receive, and replays those that it missed."""

from dataclasses import dataclass, replace
from typing import assert_never

from services.chassis.errors import PermissionDenied
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.errors.events import EventIdGone
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import audiences, event_content, events
from services.registry.workspace.audiences import Audiences
from services.registry.workspace.events import Event, EventFilter, EventRange
from services.registry.workspace.model import Status, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSubscription:
    """The audiences that a caller subscribes to.

    `subscribed_to` are fixed audiences; `subscribed_as` is a workspace whose audiences are followed as they change.
    `ended` says that no further event will come, and `head` is the id of the last stored event.
    """

    subscribed_to: Audiences = ()
    subscribed_as: str = ""
    ended: bool = False
    head: int = 0


@dataclass(frozen=True, slots=True)
class ReplayPage:
    """Missed events, and whether more follow."""

    events: list[Event]
    more: bool


class EventSubscriptions:
    """Resolves subscriptions to the events of one workspace, or to all events that the caller may receive."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def resolve(self, caller: Identity, workspace_id: str, after: int | None) -> EventSubscription:
        """Return the caller's subscription; raises `EventIdGone` if it cannot resume after that event."""
        async with self._store.begin() as tx:
            if workspace_id:
                subscription = await self._subscribe_to_workspace(tx, caller, workspace_id)
            else:
                subscription = _subscribe_caller(caller)
            if after is not None and not await tx.events.get_horizon() <= after <= await tx.events.get_last_number():
                raise EventIdGone
            return replace(subscription, head=await tx.events.get_head())

    async def replay(self, caller: Identity, workspace_id: str, stretch: EventRange, *, size: int) -> ReplayPage:
        """Return the first events of a range that the caller may receive; raises `EventIdGone`."""
        async with self._store.begin() as tx:
            scope = await self._find_scope(tx, caller, workspace_id)
            found = await tx.events.list_range(stretch, scope, limit=size)
            if stretch.after < await tx.events.get_horizon():
                raise EventIdGone
        page = [_redact(event, caller) for event in events.take_page(found)]
        return ReplayPage(page, more=len(page) < len(found) or len(found) == size)

    async def _subscribe_to_workspace(self, tx: Transaction, caller: Identity, workspace_id: str) -> EventSubscription:
        _check_own_workspace(caller, workspace_id)
        workspace = await access.require_access(tx, caller, WorkspaceId(workspace_id))
        return EventSubscription(
            subscribed_to=(audiences.name_workspace_audience(workspace_id),), ended=workspace.status is Status.REMOVED
        )

    async def _find_scope(self, tx: Transaction, caller: Identity, workspace_id: str) -> EventFilter:
        if workspace_id:
            _check_own_workspace(caller, workspace_id)
            await access.require_access(tx, caller, WorkspaceId(workspace_id))
            return EventFilter(
                workspace_ids=(WorkspaceId(workspace_id),), org_id=caller.org_id if caller.kind is Kind.ORG else None
            )
        match caller.kind:
            case Kind.ADMIN | Kind.ANONYMOUS:
                return EventFilter()
            case Kind.ORG:
                return EventFilter(org_id=caller.org_id)
            case Kind.WORKSPACE:
                return await _find_scope_of_agent(tx, WorkspaceId(caller.name))
            case Kind.SERVICE:
                raise PermissionDenied
            case _:
                assert_never(caller.kind)


def _subscribe_caller(caller: Identity) -> EventSubscription:
    match caller.kind:
        case Kind.ADMIN | Kind.ANONYMOUS:
            return EventSubscription(subscribed_to=(audiences.EVERYTHING,))
        case Kind.ORG:
            return EventSubscription(subscribed_to=(audiences.name_org_audience(caller.org_id),))
        case Kind.WORKSPACE:
            return EventSubscription(subscribed_as=caller.name)
        case Kind.SERVICE:
            raise PermissionDenied
        case _:
            assert_never(caller.kind)


async def _find_scope_of_agent(tx: Transaction, workspace_id: WorkspaceId) -> EventFilter:
    """Return the events of the workspaces that the agent may communicate with, while they were in its organisation."""
    lineage = await tx.tree.get_lineage(workspace_id)
    return EventFilter(
        workspace_ids=await tx.tree.list_reachable_ids(workspace_id),
        org_id=lineage[-1] if lineage else None,
        always_including=workspace_id,
    )


def _redact(event: Event, caller: Identity) -> Event:
    """Return the event as the caller may receive it: agents receive no content of others."""
    if caller.kind is Kind.WORKSPACE and caller.name != event.workspace_id:
        return event_content.remove_content(event)
    return event


def _check_own_workspace(caller: Identity, workspace_id: str) -> None:
    """Raise `PermissionDenied` for an agent that asks for the events of another workspace alone."""
    if caller.kind is Kind.WORKSPACE and caller.name != workspace_id:
        raise PermissionDenied
