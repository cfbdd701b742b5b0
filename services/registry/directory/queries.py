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
from services.registry.clients import Auth
from services.registry.errors.workspaces import (
    InvalidWorkspace,
    OrgAccessDenied,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.lifecycle.address_check import Addressing
from services.registry.notes.memories.rules import build_initial_memories
from services.registry.notes.memories.store import MemoryStore
from services.registry.store.transaction import Store, Transaction
from services.registry.templates.folders import Templates
from services.registry.workspace import events, factory, hierarchy, state_machine, validation
from services.registry.workspace.audit import Action
from services.registry.workspace.events import Event
from services.registry.workspace.facts import ExternalCreated
from services.registry.workspace.model import Entry, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import Files, Kit
from services.registry.workspace.validation import Draft, InitialMemory

log = structlog.get_logger()

CARDS_AT_ONCE = 100
"""Cards read at a time: 25 MiB where each is as large as a card can be."""

PAGE_BYTES = 8 * 1024 * 1024
"""Of cards in one answer: well within what a message may be."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list, and the token to go on with; empty on the last one."""

    entries: list[Entry]
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
        auth: Auth,
        catalog: Catalog,
        templates: Templates,
        addressing: Addressing,
        clock: Clock,
    ) -> None:
        self._store = store
        self._templates = templates
        self._auth = auth
        self._catalog = catalog
        self._addressing = addressing
        self._clock = clock

    # Making ──────────────────────────────────────────────────────────────────

    async def create(self, caller: Identity, request_id: str, draft: Draft) -> Creation:
        """Make a workspace. Its id and secrets are with auth first, so that nobody meets one that auth does not know.

        The same caller's same `request_id` makes one workspace, however often it is sent.
        """
        draft, kit = await self._templates.kit(draft)
        draft = validation.checked(draft)
        await self._check_url(draft)
        workspace = factory.drafted(
            draft,
            kit,
            workspace_id=WorkspaceId(access.id_for(caller, request_id)),
            now=self._clock.now(),
            limit=self._catalog.provision_limit(draft.runtime),
        )
        workspace = replace(workspace, org_id=await self._org_for(caller, workspace))
        await self._auth.place([(workspace.id, workspace.org_id)])
        try:
            if draft.secrets:
                await self._auth.keep_secrets(workspace.id, draft.secrets)
            token = await self._auth.issue(workspace.id) if workspace.external else None
            workspace = await self._insert(caller, workspace, kit, draft.initial_memories)
        except Exception:
            await self._take_back(workspace)
            raise
        log.info("workspace created", workspace=workspace.id, status=workspace.status, runtime=workspace.runtime)
        return Creation(workspace=workspace, auth_token=token)

    async def _check_url(self, draft: Draft) -> None:
        if not draft.url:
            return
        refusal = await self._addressing.refusal(draft.url)
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
        return hierarchy.open_parent(parent).org_id

    async def _insert(
        self, caller: Identity, workspace: Workspace, kit: Kit, begun_with: Sequence[InitialMemory]
    ) -> Workspace:
        async with self._store.begin() as tx:
            await tx.tree.lock()
            already = await tx.find(workspace.id)
            if already is not None:
                return already
            if workspace.parent_id is not None:
                parent = hierarchy.open_parent(await tx.find(workspace.parent_id, lock=True))
                workspace = replace(workspace, org_id=parent.org_id)
            await tx.kits.keep([kit])
            await MemoryStore(tx.connection).insert(
                build_initial_memories(workspace, begun_with, (str(uuid4()) for _ in begun_with))
            )
            fact = ExternalCreated(at=workspace.created_at)
            now = state_machine.after(workspace, fact)
            tx.save(now, events.of_creation(workspace), *events.of_change(workspace, now, fact))
            await tx.deeds.add(caller, Action.CREATED, now, name=now.name, runtime=now.runtime)
        return tx.numbered(now)

    async def _take_back(self, workspace: Workspace) -> None:
        """Undo the placement of a workspace that was not committed; auth forgets it by itself if this fails too."""
        try:
            async with self._store.begin() as tx:
                committed = await tx.find(workspace.id)
            if committed is None:
                await self._auth.forget([workspace.id])
        except ServiceError as error:
            log.warning("placement left behind", workspace=workspace.id, error=repr(error))

    # Reading ─────────────────────────────────────────────────────────────────

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> Entry:
        """One workspace, also a removed one. What the caller may not see does not exist."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.sees(tx, caller, workspace):
                raise WorkspaceNotFound
            return await with_card(tx, workspace)

    async def list(self, caller: Identity, *, size: int, token: str) -> Page:
        """Workspaces that are not removed, by creation, then id."""
        after = _created_place(token)
        async with self._store.begin() as tx:
            found = await tx.lists.page(after=after, limit=size, org_id=access.org_of(caller))
            entries = await with_cards(tx, found)
        if len(entries) == len(found) < size:
            return Page(entries)
        last = entries[-1].workspace
        return Page(entries, pages.encode_page_token([last.created_at.isoformat(), last.id]))

    async def card(self, caller: Identity, workspace_id: WorkspaceId) -> Entry:
        """The workspace with the card it registered, if any; raises `WorkspaceRemoved`.

        Where cards are public the gateway asks in nobody's name, and sees all of them.
        """
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.sees(tx, caller, workspace):
                raise WorkspaceNotFound
            if workspace.status is Status.REMOVED:
                raise WorkspaceRemoved
            return await with_card(tx, workspace)

    async def instance_files(self, workspace_id: WorkspaceId) -> Files:
        """What an instance of the workspace starts with below /configs."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            return await tx.kits.files(workspace.kit)

    async def events(self, caller: Identity, *, workspace_id: str, after: int | None, size: int) -> Sequence[Event]:
        """Stored events: the newest first, or, after one, the oldest first."""
        org_id = access.org_of(caller)
        async with self._store.begin() as tx:
            if workspace_id and org_id is not None:
                await access.reached(tx, caller, WorkspaceId(workspace_id))
            if after is None:
                found = await tx.lists.events_before(limit=size, workspace_id=workspace_id, org_id=org_id)
            else:
                found = await tx.lists.events_after(after, limit=size, workspace_id=workspace_id, org_id=org_id)
        return events.fitting(found)


async def with_cards(tx: Transaction, workspaces: Sequence[Workspace]) -> list[Entry]:
    """The first of the workspaces, with their cards: as many as fit into one answer, and at least one."""
    entries: list[Entry] = []
    weight = 0
    for start in range(0, len(workspaces), CARDS_AT_ONCE):
        some = workspaces[start : start + CARDS_AT_ONCE]
        found = await tx.cards([workspace.id for workspace in some if workspace.has_card])
        for workspace in some:
            card = found.get(workspace.id)
            weight += len(card or b"")
            if entries and weight > PAGE_BYTES:
                return entries
            entries.append(Entry(workspace, card))
    return entries


async def with_card(tx: Transaction, workspace: Workspace) -> Entry:
    """The workspace with its card."""
    found = await tx.cards([workspace.id]) if workspace.has_card else {}
    return Entry(workspace, found.get(workspace.id))


def _created_place(token: str) -> tuple[datetime, str] | None:
    if not token:
        return None
    created_at, workspace_id = pages.decode_page_token(token, 2)
    try:
        return datetime.fromisoformat(created_at), workspace_id
    except ValueError:
        raise pages.InvalidPageToken from None
