"""The heart: the book of workspaces. One method for each thing that can be done to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

import structlog

from services.chassis import pages
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.clients import AuthClient
from services.registry.errors.workspaces import (
    InvalidWorkspace,
    OrgAccessDenied,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.notes.memories import rules as notes
from services.registry.store.transaction import Store, Transaction
from services.registry.templates.folders import Templates
from services.registry.workspace import events, factory, hierarchy, state_machine, validation
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.events import Event
from services.registry.workspace.facts import ExternalCreated
from services.registry.workspace.model import ListedWorkspace, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import Files, StarterFiles
from services.registry.workspace.validation import InitialMemory, WorkspaceDraft

log = structlog.get_logger()

CARDS_AT_ONCE = 100
"""Cards read at a time: 25 MiB where each is as large as a card can be."""

PAGE_BYTES = 8 * 1024 * 1024
"""Of cards in one answer: well within what a message may be."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list, and the token to go on with; empty on the last one."""

    entries: list[ListedWorkspace]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A workspace that was made, with the first token of one whose agent the plane does not start."""

    workspace: Workspace
    auth_token: str | None = None


class Directory:
    """The book of workspaces."""

    def __init__(
        self,
        store: Store,
        *,
        auth: AuthClient,
        catalog: Catalog,
        templates: Templates,
        address_checker: AddressChecker,
        clock: Clock,
    ) -> None:
        self._store = store
        self._templates = templates
        self._auth = auth
        self._catalog = catalog
        self._address_checker = address_checker
        self._clock = clock

    # Making ──────────────────────────────────────────────────────────────────

    async def create(self, caller: Identity, request_id: str, draft: WorkspaceDraft) -> Creation:
        """Make a workspace. Its id and secrets are with auth first, so that nobody meets one that auth does not know.

        The same caller's same `request_id` makes one workspace, however often it is sent.
        """
        draft, kit = await self._templates.kit(draft)
        draft = validation.validate_new(draft)
        await self._check_url(draft)
        workspace = factory.build_workspace(
            draft,
            kit,
            workspace_id=WorkspaceId(access.derive_id(caller, request_id)),
            now=self._clock.now(),
            limit=self._catalog.provision_limit(draft.runtime),
        )
        workspace = replace(workspace, org_id=await self._org_for(caller, workspace))
        await self._auth.place_workspaces([(workspace.id, workspace.org_id)])
        try:
            if draft.secrets:
                await self._auth.store_secrets(workspace.id, draft.secrets)
            token = await self._auth.issue_token(workspace.id) if workspace.external else None
            workspace = await self._insert(caller, workspace, kit, draft.initial_memories)
        except Exception:
            await self._take_back(workspace)
            raise
        log.info("workspace created", workspace=workspace.id, status=workspace.status, runtime=workspace.runtime)
        return Creation(workspace=workspace, auth_token=token)

    async def _check_url(self, draft: WorkspaceDraft) -> None:
        if not draft.url:
            return
        refusal = await self._address_checker.find_refusal(draft.url)
        if refusal is not None:
            raise InvalidWorkspace(details={"reason": "url_validate_failed", "detail": refusal.value})

    async def _org_for(self, caller: Identity, workspace: Workspace) -> WorkspaceId:
        if workspace.parent_id is None:
            if caller.kind is Kind.ORG:
                raise OrgAccessDenied
            return workspace.id
        async with self._store.begin() as tx:
            parent = await tx.find(workspace.parent_id)
        access.check_org(caller, parent)
        return hierarchy.require_open_parent(parent).org_id

    async def _insert(
        self, caller: Identity, workspace: Workspace, kit: StarterFiles, begun_with: Sequence[InitialMemory]
    ) -> Workspace:
        async with self._store.begin() as tx:
            await tx.tree.lock()
            already = await tx.find(workspace.id)
            if already is not None:
                return already
            if workspace.parent_id is not None:
                parent = hierarchy.require_open_parent(await tx.find(workspace.parent_id, lock=True))
                workspace = replace(workspace, org_id=parent.org_id)
            await tx.starter_files.save([kit])
            await tx.memories.put(notes.initial(workspace, begun_with, (str(uuid4()) for _ in begun_with)))
            fact = ExternalCreated(at=workspace.created_at)
            now = state_machine.next_state(workspace, fact)
            tx.save(now, events.build_creation_event(workspace), *events.build_change_events(workspace, now, fact))
            await tx.audit_outbox.add(caller, AuditAction.CREATED, now, name=now.name, runtime=now.runtime)
        return tx.get_saved(now)

    async def _take_back(self, workspace: Workspace) -> None:
        """Undo the placement of a workspace that was not committed; auth forgets it by itself if this fails too."""
        try:
            async with self._store.begin() as tx:
                committed = await tx.find(workspace.id)
            if committed is None:
                await self._auth.forget_workspaces([workspace.id])
        except ServiceError as error:
            log.warning("placement left behind", workspace=workspace.id, error=repr(error))

    # Reading ─────────────────────────────────────────────────────────────────

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> ListedWorkspace:
        """One workspace, also a removed one. What the caller may not see does not exist."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.may_see(tx, caller, workspace):
                raise WorkspaceNotFound
            return await with_card(tx, workspace)

    async def list(self, caller: Identity, *, size: int, token: str) -> Page:
        """Workspaces that are not removed, by creation, then id."""
        after = _created_place(token)
        async with self._store.begin() as tx:
            found = await tx.lists.list_page(after=after, limit=size, org_id=access.get_org_filter(caller))
            entries = await with_cards(tx, found)
        if len(entries) == len(found) < size:
            return Page(entries)
        last = entries[-1].workspace
        return Page(entries, pages.encode_page_token([last.created_at.isoformat(), last.id]))

    async def card(self, caller: Identity, workspace_id: WorkspaceId) -> ListedWorkspace:
        """The workspace with the card it registered, if any; raises `WorkspaceRemoved`.

        Where cards are public the gateway asks in nobody's name, and sees all of them.
        """
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.may_see(tx, caller, workspace):
                raise WorkspaceNotFound
            if workspace.status is Status.REMOVED:
                raise WorkspaceRemoved
            return await with_card(tx, workspace)

    async def instance_files(self, workspace_id: WorkspaceId) -> Files:
        """What an instance of the workspace starts with below /configs."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            return await tx.starter_files.get(workspace.starter_files_digest)

    async def events(self, caller: Identity, *, workspace_id: str, after: int | None, size: int) -> Sequence[Event]:
        """Stored events: the newest first, or, after one, the oldest first."""
        org_id = access.get_org_filter(caller)
        async with self._store.begin() as tx:
            if workspace_id and org_id is not None:
                await access.require_access(tx, caller, WorkspaceId(workspace_id))
            if after is None:
                found = await tx.lists.list_newest_events(limit=size, workspace_id=workspace_id, org_id=org_id)
            else:
                found = await tx.lists.list_events_after(after, limit=size, workspace_id=workspace_id, org_id=org_id)
        return events.take_page(found)


async def with_cards(tx: Transaction, workspaces: Sequence[Workspace]) -> list[ListedWorkspace]:
    """The first of the workspaces, with their cards: as many as fit into one answer, and at least one."""
    entries: list[ListedWorkspace] = []
    weight = 0
    for start in range(0, len(workspaces), CARDS_AT_ONCE):
        some = workspaces[start : start + CARDS_AT_ONCE]
        found = await tx.cards([workspace.id for workspace in some if workspace.has_card])
        for workspace in some:
            card = found.get(workspace.id)
            weight += len(card or b"")
            if entries and weight > PAGE_BYTES:
                return entries
            entries.append(ListedWorkspace(workspace, card))
    return entries


async def with_card(tx: Transaction, workspace: Workspace) -> ListedWorkspace:
    """The workspace with its card."""
    found = await tx.cards([workspace.id]) if workspace.has_card else {}
    return ListedWorkspace(workspace, found.get(workspace.id))


def _created_place(token: str) -> tuple[datetime, str] | None:
    if not token:
        return None
    created_at, workspace_id = pages.decode_page_token(token, 2)
    try:
        return datetime.fromisoformat(created_at), workspace_id
    except ValueError:
        raise pages.InvalidPageToken from None
