"""Creates workspaces, one or many at once: every single create, import and team expansion takes this path.

The order is the same for all: validate the drafts, make the workspaces known to auth, store their secrets in auth,
commit all rows in one transaction. Auth comes first, so that no workspace exists that auth does not know. If the
transaction fails, auth is asked to forget the workspaces again. A sweep later confirms committed workspaces to auth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.clients import AuthClient
from services.registry.directory import runtime_check
from services.registry.directory.creation_batch import BatchKind, CreationBatch, insert_batch
from services.registry.directory.workspace_plan import WorkspacePlan
from services.registry.errors.workspaces import InvalidWorkspace, OrgAccessDenied
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.store.transaction import Store
from services.registry.templates.folders import TemplateFolders
from services.registry.workspace import factory, hierarchy, validation
from services.registry.workspace.model import Workspace, WorkspaceId
from services.registry.workspace.quotas import Quotas
from services.registry.workspace.validation import WorkspaceDraft

log = structlog.get_logger()

MAX_WORKSPACES_PER_BATCH = 1000
"""How many workspaces one transaction creates."""

CREATED_AT_STEP = timedelta(microseconds=1)
"""Time between two workspaces of a batch, so that lists sorted by creation keep the order of the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedWorkspace:
    """A new workspace, and a token where the plane does not start its agent."""

    workspace: Workspace
    auth_token: str | None = None


class WorkspaceCreator:
    """Creates workspaces: all workspaces of a call, or none."""

    def __init__(
        self,
        store: Store,
        *,
        auth: AuthClient,
        catalog: Catalog,
        templates: TemplateFolders,
        address_checker: AddressChecker,
        limits: Quotas,
        clock: Clock,
    ) -> None:
        self._store = store
        self._auth = auth
        self._catalog = catalog
        self._templates = templates
        self._address_checker = address_checker
        self._limits = limits
        self._clock = clock

    # Planning ────────────────────────────────────────────────────────────────

    async def plan(self, draft: WorkspaceDraft) -> WorkspacePlan:
        """Return the plan of a draft with the defaults of its template; raises `InvalidTemplate` and as `validate`."""
        draft, starter = await self._templates.apply_template(draft)
        return await self.validate(WorkspacePlan(draft=draft, starter=starter))

    async def validate(self, plan: WorkspacePlan) -> WorkspacePlan:
        """Return the plan with defaults filled in; raises the refusal of the first limit that its draft breaks."""
        draft = validation.validate_new(plan.draft)
        if draft.url:
            refusal = await self._address_checker.find_refusal(draft.url)
            if refusal is not None:
                raise InvalidWorkspace(details={"reason": "url_validate_failed", "detail": refusal.value})
        if not runtime_check.needs_no_backend_check(self._catalog, draft.runtime):
            async with self._store.begin() as tx:
                await runtime_check.require_startable(tx, self._catalog, draft.runtime)
        return replace(plan, draft=draft)

    # Creating ────────────────────────────────────────────────────────────────

    async def create(self, caller: Identity, request_id: str, draft: WorkspaceDraft) -> CreatedWorkspace:
        """Create one workspace. Repeated requests with the same caller and `request_id` create it once."""
        plan = await self.plan(draft)
        parent = await self._read_parent(caller, plan.draft.parent_id)
        [created] = await self._create(self._build_batch(BatchKind.SINGLE, caller, request_id, [plan], parent))
        return created

    async def create_trees(
        self, caller: Identity, request_id: str, plans: Sequence[WorkspacePlan]
    ) -> Sequence[Workspace]:
        """Create trees of new root workspaces from validated plans, and return them in the order of the plans.

        Repeated requests with the same caller and `request_id` create them once.
        """
        batch = self._build_batch(BatchKind.TREES, caller, request_id, plans, None)
        return [created.workspace for created in await self._create(batch)]

    async def create_team(
        self, caller: Identity, parent: Workspace, plans: Sequence[WorkspacePlan]
    ) -> Sequence[Workspace]:
        """Create children of `parent` from validated plans, except those whose name a child already has.

        Returns the new and the existing children in the order of the plans; raises `ParentNotFound`.
        """
        batch = self._build_batch(BatchKind.TEAM, caller, "", plans, parent)
        return [created.workspace for created in await self._create(batch)]

    async def _read_parent(self, caller: Identity, parent_id: str | None) -> Workspace | None:
        """Return the parent of a single new workspace, if it is to have one and the caller may create below it."""
        if not parent_id:
            if caller.kind is Kind.ORG:
                raise OrgAccessDenied
            return None
        async with self._store.begin() as tx:
            parent = await tx.find(WorkspaceId(parent_id))
        access.check_org(caller, parent)
        return hierarchy.require_open_parent(parent)

    def _build_batch(
        self,
        kind: BatchKind,
        caller: Identity,
        request_id: str,
        plans: Sequence[WorkspacePlan],
        parent: Workspace | None,
    ) -> CreationBatch:
        """Build the workspaces; those whose plan names no parent are put below `parent`, or are roots without it."""
        now, workspaces = self._clock.now(), list[Workspace]()
        for index, plan in enumerate(plans):
            workspace = factory.build_workspace(
                plan.draft,
                plan.starter,
                workspace_id=WorkspaceId(access.derive_id(caller, request_id, index)),
                now=now,
                limit=self._catalog.provision_limit(plan.draft.runtime),
            )
            above = parent if plan.parent is None else workspaces[plan.parent]
            workspaces.append(
                replace(
                    workspace,
                    created_at=now + index * CREATED_AT_STEP,
                    parent_id=above.id if above else None,
                    org_id=above.org_id if above else workspace.id,
                )
            )
        return CreationBatch(
            kind=kind,
            caller=caller,
            request_id=request_id,
            parent_id=parent.id if parent else None,
            plans=plans,
            workspaces=workspaces,
        )

    async def _create(self, batch: CreationBatch) -> list[CreatedWorkspace]:
        """Place the batch in auth and commit it; undo in auth what was not committed.

        A cancelled call is not undone, as its commit may still take effect: auth drops unconfirmed workspaces itself.
        """
        await self._auth.place_workspaces([(workspace.id, workspace.org_id) for workspace in batch.workspaces])
        try:
            await self._store_secrets(batch)
            tokens = await self._issue_tokens(batch)
            committed = await insert_batch(self._store, batch, self._limits)
        except Exception:
            await self._undo_placements([workspace.id for workspace in batch.workspaces])
            raise
        committed_ids = {workspace.id for workspace in committed}
        await self._undo_placements([one.id for one in batch.workspaces if one.id not in committed_ids])
        first = committed[0]
        log.info("workspaces created", first=first.id, count=len(committed), status=first.status, runtime=first.runtime)
        return [CreatedWorkspace(workspace=one, auth_token=tokens.get(one.id)) for one in committed]

    async def _store_secrets(self, batch: CreationBatch) -> None:
        for workspace, plan in zip(batch.workspaces, batch.plans, strict=True):
            if plan.draft.secrets:
                await self._auth.store_secrets(workspace.id, plan.draft.secrets)

    async def _issue_tokens(self, batch: CreationBatch) -> dict[WorkspaceId, str]:
        """Only a single create returns a token; an imported external agent gets its own when it registers."""
        if batch.kind is not BatchKind.SINGLE:
            return {}
        creator = batch.caller.name if batch.caller.kind is Kind.ORG else ""
        return {
            one.id: await self._auth.issue_token(one.id, org_token_id=creator)
            for one in batch.workspaces
            if one.external
        }

    async def _undo_placements(self, ids: Sequence[WorkspaceId]) -> None:
        """Make auth forget workspaces that were not committed; if that fails, auth drops unconfirmed ones itself."""
        if not ids:
            return
        try:
            async with self._store.begin() as tx:
                committed = {workspace.id for workspace in await tx.lists.list_by_ids(ids)}
            await self._auth.forget_workspaces([workspace_id for workspace_id in ids if workspace_id not in committed])
        except ServiceError as error:
            log.warning("placements not undone", count=len(ids), error=repr(error))
