"""Importing organisations: everything is checked, then all of it is made, or nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.registry.clients import Auth
from services.registry.directory.creation import WorkspaceCreator, WorkspacePlan
from services.registry.errors.orgs import InvalidOrgTemplate, MissingEnvironment, OrgSourceRequired
from services.registry.organisations import org_file
from services.registry.organisations.org_file import ListedNode, Organisation, OrgDefaults, OrgNode
from services.registry.organisations.org_folders import OrgTemplateFolders
from services.registry.templates import config_file
from services.registry.templates.folders import InvalidFolder, TemplateFolders
from services.registry.workspace import starter_files
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.starter_files import CONFIG, SYSTEM_PROMPT, Files, Kit
from services.registry.workspace.validation import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgMember:
    """A workspace of an import; without an id where nothing was made. `parent` is the place of the one above it."""

    id: WorkspaceId | None
    name: str
    tier: int
    runtime: str
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgImportResult:
    """What an import made, or would make. `unset` are the recommended variables that are no global secrets."""

    org: str
    members: tuple[OrgMember, ...]
    unset: Sequence[Any]


class OrgImporter:
    """Makes organisations of files."""

    def __init__(
        self, folders: OrgTemplateFolders, *, templates: TemplateFolders, creator: WorkspaceCreator, auth: Auth
    ) -> None:
        self._folders = folders
        self._templates = templates
        self._creator = creator
        self._auth = auth

    async def import_dir(self, caller: Identity, request_id: str, name: str, *, dry_run: bool) -> OrgImportResult:
        """Make what an org template declares. Raises what is wrong, having made nothing."""
        return await self._import(caller, request_id, await self._folders.read(name), name, dry_run=dry_run)

    async def import_template(
        self, caller: Identity, request_id: str, template: bytes, *, dry_run: bool
    ) -> OrgImportResult:
        """Make what a JSON text declares; it has no directory, so `files_dir` means nothing in it."""
        if not template:
            raise OrgSourceRequired
        try:
            said = json.loads(template)
        except (ValueError, RecursionError):
            raise InvalidOrgTemplate("not readable JSON") from None
        return await self._import(caller, request_id, said, "", dry_run=dry_run)

    async def _import(
        self,
        caller: Identity,
        request_id: str,
        said: Any,  # noqa: ANN401 - checked here
        folder: str,
        *,
        dry_run: bool,
    ) -> OrgImportResult:
        org = org_file.parse_organisation(said)
        seeds = await _OrgPlanner(org, folder, self._folders, self._templates, self._creator).seeds()
        there = await self._auth.global_keys()
        if missing := org_file.find_missing(org.required, there):
            raise MissingEnvironment(missing)
        made = [] if dry_run else await self._creator.found(caller, request_id, seeds)
        ids = [one.id for one in made] if made else [None] * len(seeds)
        return OrgImportResult(
            org=org.name,
            members=tuple(_build_member(seed, one) for seed, one in zip(seeds, ids, strict=True)),
            unset=org_file.find_missing(org.recommended, there),
        )


class _OrgPlanner:
    """One organisation on its way from declarations to seeds. Every template and directory is read once."""

    def __init__(
        self,
        org: Organisation,
        folder: str,
        folders: OrgTemplateFolders,
        templates: TemplateFolders,
        creator: WorkspaceCreator,
    ) -> None:
        self._org = org
        self._folder = folder
        self._folders = folders
        self._templates = templates
        self._creator = creator
        self._kits: dict[str, tuple[Draft, Kit]] = {}
        self._files: dict[str, Files] = {}

    async def seeds(self) -> list[WorkspacePlan]:
        """A checked seed for each workspace; raises `InvalidOrgTemplate` that says which cannot be one."""
        return [await self._seed(planned) for planned in self._org.nodes]

    async def _seed(self, planned: ListedNode) -> WorkspacePlan:
        try:
            draft, kit = await self._from_template(planned.node, self._org.defaults)
            files = await self._with_own(planned.node, draft, kit.files)
            brief = org_file.build_brief(planned.node, self._org.defaults, kit.brief)
            seed = WorkspacePlan(draft=draft, kit=replace(kit, files=files, brief=brief), parent=planned.parent)
            return await self._creator.checked(seed)
        except InvalidFolder as fault:
            raise InvalidOrgTemplate(f"{planned.path}.files_dir: {fault}") from None
        except ServiceError as refusal:
            if refusal.domain != InvalidOrgTemplate.domain:
                raise
            detail = refusal.details.get("detail")
            raise InvalidOrgTemplate(f"{planned.path}: {refusal.message}{f' ({detail})' if detail else ''}") from None

    async def _from_template(self, node: OrgNode, defaults: OrgDefaults) -> tuple[Draft, Kit]:
        """The draft with what its template says, and then with the defaults of the organisation."""
        draft = org_file.build_draft(node, defaults)
        if draft.template not in self._kits:
            self._kits[draft.template] = await self._templates.apply_template(Draft(name="", template=draft.template))
        said, kit = self._kits[draft.template]
        if not draft.external:
            draft = replace(
                draft,
                runtime=draft.runtime or said.runtime or defaults.runtime,
                model=draft.model or said.model or defaults.model,
            )
        return replace(draft, tier=draft.tier or said.tier or defaults.tier or org_file.DEFAULT_TIER), kit

    async def _with_own(self, node: OrgNode, draft: Draft, files: Files) -> Files:
        """The files of the template, those of the node's own directory over them, and its prompt."""
        if node.files_dir:
            files = {**files, **await self._read_own_files(node.files_dir)}
        if node.system_prompt:
            files = {**files, SYSTEM_PROMPT: node.system_prompt}
        if files and CONFIG not in files:
            files = {**files, CONFIG: config_file.generate_config(draft)}
        return starter_files.checked(files) if node.files_dir or node.system_prompt else files

    async def _read_own_files(self, folder: str) -> Files:
        if not self._folder:
            raise InvalidFolder("only an org template of a directory has files")
        if folder not in self._files:
            self._files[folder] = await self._folders.files(self._folder, folder)
        return self._files[folder]


def _build_member(seed: WorkspacePlan, workspace_id: WorkspaceId | None) -> OrgMember:
    return OrgMember(
        id=workspace_id, name=seed.draft.name, tier=seed.draft.tier, runtime=seed.draft.runtime, parent=seed.parent
    )
