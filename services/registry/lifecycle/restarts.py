"""Restarts workspaces on request, optionally with the starter files of another template."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.errors.workspaces import (
    NotSupported,
    ParentPaused,
    ProvisionerUnavailable,
    WorkspaceRemoved,
    WrongStatus,
)
from services.registry.lifecycle import transitions
from services.registry.lifecycle.renewal import RenewalService
from services.registry.store.transaction import Store, Transaction
from services.registry.templates.folders import TemplateFolders, derive_template_id
from services.registry.workspace import state_machine
from services.registry.workspace.audit import AuditAction, PluginChange
from services.registry.workspace.facts import RestartRequested
from services.registry.workspace.model import Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.validation import WorkspaceDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateChoice:
    """What a restart request says about templates."""

    template: str = ""
    apply_template: bool = False
    rebuild_config: bool = False


NO_TEMPLATE_CHOICE = TemplateChoice()


@dataclass(frozen=True, slots=True)
class RestartResult:
    """A restarted workspace, and the starter files that were applied, if any."""

    workspace: Workspace
    starter_files: StarterFiles | None


class TemplateChooser:
    """Chooses the template that a restart applies (docs/spec/rest.md, 6.3, "Template choice")."""

    def __init__(self, templates: TemplateFolders, org_templates: TemplateFolders) -> None:
        self._templates = templates
        self._org_templates = org_templates

    async def choose(self, workspace: Workspace, choice: TemplateChoice) -> StarterFiles | None:
        """Return the starter files of the chosen template; `None` if the workspace keeps its own.

        Raises `InvalidTemplate` if a named template does not exist, or a chosen one cannot be read.
        """
        found = (self._templates, choice.template) if choice.template else await self._find_first(workspace, choice)
        if found is None:
            return None
        templates, template_id = found
        _, starter_files = await templates.apply_template(WorkspaceDraft(name="", template=template_id))
        return starter_files

    async def _find_first(self, workspace: Workspace, choice: TemplateChoice) -> tuple[TemplateFolders, str] | None:
        for templates, template_id in self._list_candidates(workspace, choice):
            if await templates.has_template(template_id):
                return templates, template_id
        return None

    def _list_candidates(self, workspace: Workspace, choice: TemplateChoice) -> list[tuple[TemplateFolders, str]]:
        own = derive_template_id(workspace.name)
        candidates = []
        if choice.apply_template:
            candidates.append((self._templates, own))
        if choice.rebuild_config:
            candidates.append((self._org_templates, own))
        if choice.apply_template:
            candidates.append((self._templates, f"{workspace.runtime}-default"))
        return candidates


class RestartService:
    """Requests new instances for callers."""

    def __init__(
        self, store: Store, *, renewal: RenewalService, template_chooser: TemplateChooser, clock: Clock
    ) -> None:
        self._store = store
        self._renewal = renewal
        self._template_chooser = template_chooser
        self._clock = clock

    async def restart(
        self,
        caller: Identity,
        workspace_id: WorkspaceId,
        request_id: str,
        choice: TemplateChoice = NO_TEMPLATE_CHOICE,
    ) -> RestartResult:
        """Request a new instance; returns after the commit, before the instance starts.

        A repeated `request_id` restarts once. Raises `WorkspaceRemoved`, `NotSupported`, `ParentPaused`,
        `ProvisionerUnavailable`, `TooManyRunning`, `WrongStatus` or `InvalidTemplate`.
        """
        starter_files = await self._choose_files(caller, workspace_id, choice)
        async with self._store.begin() as tx:
            before = await access.require_access(tx, caller, workspace_id, lock=True)
            if request_id and before.restart_request == request_id:
                return RestartResult(before, starter_files)
            await self._check_restartable(tx, before)
            await self._renewal.require_room(tx, before)

            def decide(before: Workspace, fact: RestartRequested) -> Workspace:
                after = state_machine.next_state(before, fact)
                if after is before and not before.wake_wanted:
                    raise WrongStatus(before.status)
                after = replace(after, restart_request=request_id)
                return after if starter_files is None else apply_starter_files(after, starter_files)

            fact = self._renewal.build_restart_fact(before, Reason.RESTART_REQUESTED)
            after = transitions.apply(tx, before, fact, decide=decide)
            details = {}
            if starter_files is not None:
                await tx.starter_files.save([starter_files])
                details = {"template": starter_files.template}
            await tx.audit_outbox.add(caller, AuditAction.RESTARTED, after, generation=after.generation, **details)
        return RestartResult(tx.get_saved(after), starter_files)

    async def renew(self, workspace_id: WorkspaceId, actor: str, changes: Sequence[PluginChange]) -> None:
        """Record changes of plugins, and request a new instance if the plane may start one by itself."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id, lock=True)
            for change in changes:
                action = AuditAction.PLUGIN_INSTALLED if change.is_installed else AuditAction.PLUGIN_REMOVED
                source = {"source": change.source, "sha256": change.sha256} if change.is_installed else {}
                await tx.audit_outbox.add_for(actor, action, workspace, plugin=change.plugin, **source)
            await self._renewal.renew(tx, workspace)

    async def _choose_files(
        self, caller: Identity, workspace_id: WorkspaceId, choice: TemplateChoice
    ) -> StarterFiles | None:
        """Read the chosen template before the transaction that restarts, because templates are files on disk."""
        if choice == NO_TEMPLATE_CHOICE:
            return None
        async with self._store.begin() as tx:
            workspace = await access.require_access(tx, caller, workspace_id)
            await self._check_restartable(tx, workspace)
        return await self._template_chooser.choose(workspace, choice)

    async def _check_restartable(self, tx: Transaction, workspace: Workspace) -> None:
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        if workspace.external:
            raise NotSupported("external workspaces cannot be restarted")
        paused = await tx.tree.find_paused_ancestor(workspace.id)
        if paused is not None:
            raise ParentPaused(paused)
        if not await tx.revisions.is_watched(self._clock.now()):
            raise ProvisionerUnavailable


def apply_starter_files(workspace: Workspace, starter_files: StarterFiles) -> Workspace:
    """Return the workspace with the files and brief of a template; its runtime, model and tier do not change."""
    return replace(
        workspace,
        template=starter_files.template,
        starter_files_digest=starter_files.digest,
        brief=starter_files.brief,
    )
