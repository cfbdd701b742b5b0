"""Imports an organisation from an org template: validates all of it, then creates all its workspaces or none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.registry.clients import AuthClient
from services.registry.directory.creation import WorkspaceCreator
from services.registry.directory.workspace_plan import WorkspacePlan
from services.registry.errors.orgs import InvalidOrgTemplate, MissingEnvironment, OrgSourceRequired
from services.registry.organisations import org_file
from services.registry.organisations.org_file import ListedNode, Organisation, OrgDefaults, OrgNode
from services.registry.organisations.org_folders import OrgTemplateFolders
from services.registry.templates import config_file
from services.registry.templates.folders import InvalidFolder, TemplateFolders
from services.registry.workspace import starter_files
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.starter_files import CONFIG_FILE, SYSTEM_PROMPT_FILE, Files, StarterFiles
from services.registry.workspace.validation import WorkspaceDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgMember:
    """A workspace of an import. A dry run gives it no id. `parent` is the index of its parent among the members."""

    id: WorkspaceId | None
    name: str
    tier: int
    runtime: str
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgImportResult:
    """What an import created, or would create. `unset` are the recommended variables that are no global secrets."""

    org: str
    members: tuple[OrgMember, ...]
    unset: Sequence[Any]


class OrgImporter:
    """Creates the workspaces that an org template declares."""

    def __init__(
        self, folders: OrgTemplateFolders, *, templates: TemplateFolders, creator: WorkspaceCreator, auth: AuthClient
    ) -> None:
        self._folders = folders
        self._templates = templates
        self._creator = creator
        self._auth = auth

    async def import_dir(self, caller: Identity, request_id: str, name: str, *, dry_run: bool) -> OrgImportResult:
        """Import the org template in the directory `name`. A refusal means that nothing was created."""
        return await self._import(caller, request_id, await self._folders.read_org(name), name, dry_run=dry_run)

    async def import_template(
        self, caller: Identity, request_id: str, template: bytes, *, dry_run: bool
    ) -> OrgImportResult:
        """Import an org template from JSON. It has no directory, so `files_dir` is refused in it."""
        if not template:
            raise OrgSourceRequired
        try:
            content = strict_json.parse(template)
        except strict_json.JsonLimitExceeded as error:
            raise InvalidOrgTemplate(str(error)) from None
        except strict_json.InvalidJson:
            raise InvalidOrgTemplate("not readable JSON") from None
        return await self._import(caller, request_id, content, "", dry_run=dry_run)

    async def _import(
        self,
        caller: Identity,
        request_id: str,
        content: Any,  # noqa: ANN401 - checked here
        directory: str,
        *,
        dry_run: bool,
    ) -> OrgImportResult:
        org = org_file.parse_organisation(content)
        plans = await _OrgPlanner(org, directory, self._folders, self._templates, self._creator).plan_all()
        global_keys = await self._auth.list_global_keys()
        if missing := org_file.find_missing(org.required, global_keys):
            raise MissingEnvironment(missing)
        created = [] if dry_run else await self._creator.create_trees(caller, request_id, plans)
        ids = [workspace.id for workspace in created] if created else [None] * len(plans)
        return OrgImportResult(
            org=org.name,
            members=tuple(_build_member(plan, workspace_id) for plan, workspace_id in zip(plans, ids, strict=True)),
            unset=org_file.find_missing(org.recommended, global_keys),
        )


class _OrgPlanner:
    """Turns the nodes of one organisation into plans. It reads every template and directory once."""

    def __init__(
        self,
        org: Organisation,
        directory: str,
        folders: OrgTemplateFolders,
        templates: TemplateFolders,
        creator: WorkspaceCreator,
    ) -> None:
        self._org = org
        self._directory = directory
        self._folders = folders
        self._templates = templates
        self._creator = creator
        self._read_templates: dict[str, tuple[WorkspaceDraft, StarterFiles]] = {}
        self._read_directories: dict[str, Files] = {}

    async def plan_all(self) -> list[WorkspacePlan]:
        """Return a validated plan for each node; raises `InvalidOrgTemplate`, which names the wrong one."""
        return [await self._plan(listed) for listed in self._org.nodes]

    async def _plan(self, listed: ListedNode) -> WorkspacePlan:
        try:
            draft, starter = await self._apply_template(listed.node, self._org.defaults)
            files = await self._add_own_files(listed.node, draft, starter.files)
            brief = org_file.build_brief(listed.node, self._org.defaults, starter.brief)
            starter = replace(starter, files=files, brief=brief)
            return await self._creator.validate(WorkspacePlan(draft=draft, starter=starter, parent=listed.parent))
        except InvalidFolder as fault:
            raise InvalidOrgTemplate(f"{listed.path}.files_dir: {fault}") from None
        except ServiceError as refusal:
            if refusal.domain != InvalidOrgTemplate.domain:
                raise
            detail = refusal.details.get("detail")
            raise InvalidOrgTemplate(f"{listed.path}: {refusal.message}{f' ({detail})' if detail else ''}") from None

    async def _apply_template(self, node: OrgNode, defaults: OrgDefaults) -> tuple[WorkspaceDraft, StarterFiles]:
        """Return the draft of a node: what the node says, else its template, else the defaults of the organisation."""
        draft = org_file.build_draft(node, defaults)
        if draft.template not in self._read_templates:
            template_alone = WorkspaceDraft(name="", template=draft.template)
            self._read_templates[draft.template] = await self._templates.apply_template(template_alone)
        from_template, starter = self._read_templates[draft.template]
        if not draft.external:
            draft = replace(
                draft,
                runtime=draft.runtime or from_template.runtime or defaults.runtime,
                model=draft.model or from_template.model or defaults.model,
            )
        tier = draft.tier or from_template.tier or defaults.tier or org_file.DEFAULT_TIER
        return replace(draft, tier=tier), starter

    async def _add_own_files(self, node: OrgNode, draft: WorkspaceDraft, files: Files) -> Files:
        """Return the files of the template, overridden by the node's own directory and by its system prompt."""
        if node.files_dir:
            files = {**files, **await self._read_directory(node.files_dir)}
        if node.system_prompt:
            files = {**files, SYSTEM_PROMPT_FILE: node.system_prompt}
        if files and CONFIG_FILE not in files:
            files = {**files, CONFIG_FILE: config_file.generate_config(draft)}
        return starter_files.validate_files(files) if node.files_dir or node.system_prompt else files

    async def _read_directory(self, path: str) -> Files:
        if not self._directory:
            raise InvalidFolder("only an org template of a directory has files")
        if path not in self._read_directories:
            self._read_directories[path] = await self._folders.read_files(self._directory, path)
        return self._read_directories[path]


def _build_member(plan: WorkspacePlan, workspace_id: WorkspaceId | None) -> OrgMember:
    return OrgMember(
        id=workspace_id, name=plan.draft.name, tier=plan.draft.tier, runtime=plan.draft.runtime, parent=plan.parent
    )
