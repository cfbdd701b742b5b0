"""Answers which workspaces may communicate and at which address a workspace is reached."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.chassis import pages
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.directory.card_pages import WorkspacePage, read_with_cards
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
class DiscoveryResult:
    """A workspace and its URL. The URL is empty where messages go through the plane itself."""

    workspace: Workspace
    url: str = ""


class Discovery:
    """Answers discovery, peer and route requests."""

    def __init__(self, store: Store, *, address_checker: AddressChecker) -> None:
        self._store = store
        self._address_checker = address_checker

    async def discover(self, caller: Identity, workspace_id: WorkspaceId, caller_id: str) -> DiscoveryResult:
        """Return the address of a workspace for the workspace `caller_id`.

        The identity of an agent overrides `caller_id`. Operators and organisation tokens may leave it empty and then
        find every workspace that they may access; an anonymous caller must name one.
        """
        caller_id = caller.name if caller.kind is Kind.WORKSPACE else caller_id
        if not caller_id and caller.kind is Kind.ANONYMOUS:
            raise CallerRequired
        async with self._store.begin() as tx:
            if caller_id and not await _may_talk(tx, caller_id, workspace_id):
                raise DiscoveryDenied
            workspace = await access.require_access(tx, caller, workspace_id)
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        return await self._resolve_address(workspace)

    async def list_peers(
        self, caller: Identity, workspace_id: WorkspaceId, *, query: str, size: int, token: str
    ) -> WorkspacePage:
        """Return siblings, then children, then the parent of a workspace; each group by name, without removed ones.

        Raises `OtherWorkspace` where a workspace asks for the peers of another one.
        """
        access.check_self(caller, workspace_id)
        group, after = _decode_peer_token(token)
        found: list[Workspace] = []
        groups: list[int] = []
        async with self._store.begin() as tx:
            workspace = await access.require_access(tx, caller, workspace_id)
            readers = _list_group_readers(tx, caller, workspace)
            while group < len(readers) and len(found) < size:
                peers = await readers[group](workspace, ListPosition(size - len(found), after, query.strip()))
                found.extend(peers)
                groups.extend([group] * len(peers))
                group, after = group + 1, None
            entries = await read_with_cards(tx, found)
        if group == len(readers) and len(entries) == len(found) < size:
            return WorkspacePage(entries)
        last = entries[-1].workspace
        return WorkspacePage(entries, pages.encode_page_token([str(groups[len(entries) - 1]), last.name, last.id]))

    async def may_talk(self, caller: Identity, one: WorkspaceId, other: WorkspaceId) -> bool:
        """Whether two workspaces may communicate; false if one is unknown or the caller may not see it."""
        async with self._store.begin() as tx:
            for workspace_id in (one, other):
                workspace = await tx.find(workspace_id)
                if workspace is None or not await access.may_see(tx, caller, workspace):
                    return False
            return await _may_talk(tx, one, other)

    async def resolve_route(self, workspace_id: WorkspaceId, caller_id: str) -> tuple[Workspace, bool]:
        """Return the target of a message, and whether the workspace `caller_id`, if given, may send to it."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            return workspace, not caller_id or await _may_talk(tx, caller_id, workspace_id)

    async def _resolve_address(self, workspace: Workspace) -> DiscoveryResult:
        if workspace.delivery_mode is DeliveryMode.POLL:
            return DiscoveryResult(workspace)
        if workspace.status not in ONLINE_STATUSES:
            raise WorkspaceUnavailable(workspace.status)
        if not workspace.external:
            return DiscoveryResult(workspace)
        if not workspace.url:
            raise WorkspaceUnavailable(workspace.status)
        refusal = await self._address_checker.find_refusal(workspace.url)
        if refusal is not None:
            log.warning("unsafe address withheld", workspace=workspace.id, refusal=refusal.value)
            raise AddressUnsafe
        return DiscoveryResult(workspace, workspace.url)


async def _may_talk(tx: Transaction, one: str, other: str) -> bool:
    return hierarchy.may_communicate(
        await tx.tree.get_lineage(WorkspaceId(one)), await tx.tree.get_lineage(WorkspaceId(other))
    )


PeerGroupReader = Callable[[Workspace, ListPosition], Awaitable[list[Workspace]]]


def _list_group_readers(tx: Transaction, caller: Identity, workspace: Workspace) -> tuple[PeerGroupReader, ...]:
    """Return a reader for each group of peers. An organisation token does not see the roots of other organisations."""
    strangers = caller.kind is Kind.ORG and workspace.parent_id is None
    return _read_no_workspaces if strangers else tx.lists.list_siblings, tx.lists.list_children, tx.lists.list_parent


async def _read_no_workspaces(_: Workspace, __: ListPosition) -> list[Workspace]:
    return []


def _decode_peer_token(token: str) -> tuple[int, tuple[str, str] | None]:
    if not token:
        return 0, None
    group, name, workspace_id = pages.decode_page_token(token, 3)
    if group not in {"0", "1", "2"}:
        raise pages.InvalidPageToken
    return int(group), (name, workspace_id)
