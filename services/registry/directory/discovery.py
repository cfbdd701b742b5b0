"""Who may talk to whom, and where they are found."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.chassis import pages
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.directory.queries import Page, with_cards
from services.registry.errors.workspaces import (
    AddressUnsafe,
    CallerRequired,
    DiscoveryDenied,
    WorkspaceRemoved,
    WorkspaceUnavailable,
)
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.store.lists import ListPosition
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import hierarchy
from services.registry.workspace.model import DeliveryMode, Status, Workspace, WorkspaceId
from services.registry.workspace.state_machine import ONLINE_STATUSES

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Direction:
    """Where to find a workspace; no address where the plane's own is to be used."""

    workspace: Workspace
    url: str = ""


class Directions:
    """Answers who asks for the way."""

    def __init__(self, store: Store, *, address_checker: AddressChecker) -> None:
        self._store = store
        self._address_checker = address_checker

    async def discover(self, caller: Identity, workspace_id: WorkspaceId, asking: str) -> Direction:
        """The way to a workspace, for a caller or for the workspace `asking` that it acts for.

        An operator who acts for nobody may find everything of its own; who is nobody must say for whom.
        """
        asking = caller.name if caller.kind is Kind.WORKSPACE else asking
        if not asking and caller.kind is Kind.ANONYMOUS:
            raise CallerRequired
        async with self._store.begin() as tx:
            if asking and not await _may_talk(tx, asking, workspace_id):
                raise DiscoveryDenied
            workspace = await access.require_access(tx, caller, workspace_id)
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        return await self._direction(workspace)

    async def peers(self, caller: Identity, workspace_id: WorkspaceId, *, query: str, size: int, token: str) -> Page:
        """Siblings, children and parent of a workspace: each group by name, none removed.

        Raises `OtherWorkspace` where a workspace asks for the peers of another one.
        """
        access.check_self(caller, workspace_id)
        group, after = _peer_place(token)
        found: list[Workspace] = []
        groups: list[int] = []
        async with self._store.begin() as tx:
            workspace = await access.require_access(tx, caller, workspace_id)
            walks = _walks(tx, caller, workspace)
            while group < len(walks) and len(found) < size:
                some = await walks[group](workspace, ListPosition(size - len(found), after, query.strip()))
                found.extend(some)
                groups.extend([group] * len(some))
                group, after = group + 1, None
            entries = await with_cards(tx, found)
        if group == len(walks) and len(entries) == len(found) < size:
            return Page(entries)
        last = entries[-1].workspace
        return Page(entries, pages.encode_page_token([str(groups[len(entries) - 1]), last.name, last.id]))

    async def may_talk(self, caller: Identity, one: WorkspaceId, other: WorkspaceId) -> bool:
        """Whether two workspaces may communicate; false for what is unknown, or what the caller may not see."""
        async with self._store.begin() as tx:
            for workspace_id in (one, other):
                workspace = await tx.find(workspace_id)
                if workspace is None or not await access.may_see(tx, caller, workspace):
                    return False
            return await _may_talk(tx, one, other)

    async def route(self, workspace_id: WorkspaceId, caller_id: str) -> tuple[Workspace, bool]:
        """The target as a sender must know it, and whether the workspace `caller_id` may send to it."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            return workspace, not caller_id or await _may_talk(tx, caller_id, workspace_id)

    async def _direction(self, workspace: Workspace) -> Direction:
        if workspace.delivery_mode is DeliveryMode.POLL:
            return Direction(workspace)
        if workspace.status not in ONLINE_STATUSES:
            raise WorkspaceUnavailable(workspace.status)
        if not workspace.external:
            return Direction(workspace)
        if not workspace.url:
            raise WorkspaceUnavailable(workspace.status)
        refusal = await self._address_checker.find_refusal(workspace.url)
        if refusal is not None:
            log.warning("address not told", workspace=workspace.id, refusal=refusal.value)
            raise AddressUnsafe
        return Direction(workspace, workspace.url)


async def _may_talk(tx: Transaction, one: str, other: str) -> bool:
    return hierarchy.may_communicate(
        await tx.tree.get_lineage(WorkspaceId(one)), await tx.tree.get_lineage(WorkspaceId(other))
    )


Walk = Callable[[Workspace, ListPosition], Awaitable[list[Workspace]]]


def _walks(tx: Transaction, caller: Identity, workspace: Workspace) -> tuple[Walk, ...]:
    """What peers are gathered from. The siblings of a root are other organisations, which no organisation is shown."""
    strangers = caller.kind is Kind.ORG and workspace.parent_id is None
    return _none if strangers else tx.lists.list_siblings, tx.lists.list_children, tx.lists.list_parent


async def _none(_: Workspace, __: ListPosition) -> list[Workspace]:
    return []


def _peer_place(token: str) -> tuple[int, tuple[str, str] | None]:
    if not token:
        return 0, None
    group, name, workspace_id = pages.decode_page_token(token, 3)
    if group not in {"0", "1", "2"}:
        raise pages.InvalidPageToken
    return int(group), (name, workspace_id)
