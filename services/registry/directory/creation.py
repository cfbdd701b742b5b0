"""Making many workspaces at once: all of them, or none."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.clients import AuthClient
from services.registry.errors.workspaces import InvalidWorkspace
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import events, factory, hierarchy, state_machine, validation
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.events import EventDraft
from services.registry.workspace.facts import ExternalCreated
from services.registry.workspace.model import Workspace, WorkspaceId
from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.validation import WorkspaceDraft

log = structlog.get_logger()

MOST = 1000
"""Workspaces that are made at once."""

BESIDE = timedelta(microseconds=1)
"""Between one and the next, so that lists keep the order in which they were named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A workspace to be made. `parent` is the place of the one above it among the seeds, which comes before it."""

    draft: WorkspaceDraft
    kit: StarterFiles = field(default_factory=StarterFiles)
    parent: int | None = None


Told = Callable[[Sequence[Workspace]], Sequence[EventDraft]]
"""What is told of the workspace above, once it has these below it."""


class Founding:
    """Makes whole trees. What is not named by its parent stands below `above`, or is a root where there is none."""

    def __init__(
        self, store: Store, *, auth: AuthClient, catalog: Catalog, address_checker: AddressChecker, clock: Clock
    ) -> None:
        self._store = store
        self._auth = auth
        self._catalog = catalog
        self._address_checker = address_checker
        self._clock = clock

    async def checked(self, seed: Seed) -> Seed:
        """The seed with its defaults, if a workspace can be made of it; raises what is wrong with its draft."""
        draft = validation.validate_new(seed.draft)
        if draft.url:
            refusal = await self._address_checker.find_refusal(draft.url)
            if refusal is not None:
                raise InvalidWorkspace(details={"reason": "url_validate_failed", "detail": refusal.value})
        return replace(seed, draft=draft)

    async def found(self, caller: Identity, request_id: str, seeds: Sequence[Seed]) -> list[Workspace]:
        """Make the trees of checked seeds, in their order. The same caller's same request makes them once."""
        made = self._drafted(caller, request_id, seeds)
        return await self._placed(made, seeds, lambda: self._insert(caller, made, seeds))

    async def add_below(
        self, caller: Identity, above: Workspace, seeds: Sequence[Seed], told: Told
    ) -> Sequence[Workspace]:
        """Make the children of checked seeds below a workspace, but for those whose name one of its children has.

        All that have the names, in the order of the seeds; raises `ParentNotFound`.
        """
        made = [replace(child, parent_id=above.id, org_id=above.org_id) for child in self._drafted(caller, "", seeds)]
        return await self._placed(made, seeds, lambda: self._insert_below(caller, above.id, made, seeds, told))

    def _drafted(self, caller: Identity, request_id: str, seeds: Sequence[Seed]) -> list[Workspace]:
        now, made = self._clock.now(), list[Workspace]()
        for place, seed in enumerate(seeds):
            one = factory.build_workspace(
                seed.draft,
                seed.kit,
                workspace_id=WorkspaceId(access.derive_id(caller, request_id, place)),
                now=now,
                limit=self._catalog.provision_limit(seed.draft.runtime),
            )
            above = made[seed.parent] if seed.parent is not None else None
            one = replace(one, created_at=now + place * BESIDE)
            made.append(replace(one, parent_id=above.id, org_id=above.org_id) if above else one)
        return made

    async def _placed(
        self, made: Sequence[Workspace], seeds: Sequence[Seed], insert: Callable[[], Awaitable[list[Workspace]]]
    ) -> list[Workspace]:
        """Auth knows them and their secrets first; what is not committed after all it is told to forget."""
        await self._auth.place_workspaces([(one.id, one.org_id) for one in made])
        kept: list[Workspace] = []
        try:
            for one, seed in zip(made, seeds, strict=True):
                if seed.draft.secrets:
                    await self._auth.store_secrets(one.id, seed.draft.secrets)
            kept = await insert()
        finally:
            await self._take_back([one.id for one in made if one.id not in {known.id for known in kept}])
        log.info("workspaces founded", count=len(kept), root=kept[0].id if kept else "")
        return kept

    async def _insert(self, caller: Identity, made: Sequence[Workspace], seeds: Sequence[Seed]) -> list[Workspace]:
        async with self._store.begin() as tx:
            await tx.tree.lock()
            if await tx.find(made[0].id) is not None:
                order = {one.id: place for place, one in enumerate(made)}
                return sorted(await tx.lists.list_by_ids(list(order)), key=lambda one: order[one.id])
            await self._keep(tx, caller, made, seeds)
        return [tx.get_saved(one) for one in made]

    async def _insert_below(
        self,
        caller: Identity,
        above_id: WorkspaceId,
        made: Sequence[Workspace],
        seeds: Sequence[Seed],
        told: Told,
    ) -> list[Workspace]:
        async with self._store.begin() as tx:
            await tx.tree.lock()
            above = hierarchy.require_open_parent(await tx.find(above_id, lock=True))
            there = {child.name: child for child in await tx.tree.list_children(above_id)}
            fresh = [(one, seed) for one, seed in zip(made, seeds, strict=True) if one.name not in there]
            children = [replace(one, org_id=above.org_id) for one, _ in fresh]
            await self._keep(tx, caller, children, [seed for _, seed in fresh])
            whole = there | {child.name: child for child in children}
            named = [whole[one.name] for one in made]
            if children:
                tx.save(above, *told(named))
        return [tx.get_saved(one) for one in named]

    async def _keep(self, tx: Transaction, caller: Identity, made: Sequence[Workspace], seeds: Sequence[Seed]) -> None:
        await tx.starter_files.save([seed.kit for seed in seeds])
        for one in made:
            fact = ExternalCreated(at=one.created_at)
            now = state_machine.next_state(one, fact)
            tx.save(now, events.build_creation_event(one), *events.build_change_events(one, now, fact))
        await tx.audit_outbox.add(caller, AuditAction.CREATED, *made, together=len(made))

    async def _take_back(self, ids: Sequence[WorkspaceId]) -> None:
        """Undo placements that were not committed; auth forgets them by itself if this fails too."""
        if not ids:
            return
        try:
            async with self._store.begin() as tx:
                committed = {one.id for one in await tx.lists.list_by_ids(ids)}
            await self._auth.forget_workspaces([one for one in ids if one not in committed])
        except ServiceError as error:
            log.warning("placements left behind", count=len(ids), error=repr(error))
