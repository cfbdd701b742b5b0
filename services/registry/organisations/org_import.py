"""Importing organisations: everything is checked, then all of it is made, or nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.registry.clients import AuthClient
from services.registry.directory.creation import Founding, Seed
from services.registry.errors.orgs import InvalidOrgTemplate, MissingEnvironment, OrgSourceRequired
from services.registry.organisations import org_file
from services.registry.organisations.org_file import Defaults, Node, Org, Planned
from services.registry.organisations.org_folders import OrgFolders
from services.registry.templates import config_file
from services.registry.templates.folders import BadFolder, Templates
from services.registry.workspace import starter_files
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.starter_files import CONFIG_FILE, SYSTEM_PROMPT_FILE, Files, StarterFiles
from services.registry.workspace.validation import WorkspaceDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A workspace of an import; without an id where nothing was made. `parent` is the place of the one above it."""

    id: WorkspaceId | None
    name: str
    tier: int
    runtime: str
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What an import made, or would make. `unset` are the recommended variables that are no global secrets."""

    org: str
    members: tuple[Member, ...]
    unset: Sequence[Any]


class Orgs:
    """Makes organisations of files."""

    def __init__(self, folders: OrgFolders, *, templates: Templates, founding: Founding, auth: AuthClient) -> None:
        self._folders = folders
        self._templates = templates
        self._founding = founding
        self._auth = auth

    async def import_dir(self, caller: Identity, request_id: str, name: str, *, dry_run: bool) -> Import:
        """Make what an org template declares. Raises what is wrong, having made nothing."""
        return await self._import(caller, request_id, await self._folders.read(name), name, dry_run=dry_run)

    async def import_template(self, caller: Identity, request_id: str, template: bytes, *, dry_run: bool) -> Import:
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
    ) -> Import:
        org = org_file.org(said)
        seeds = await _Sowing(org, folder, self._folders, self._templates, self._founding).seeds()
        there = await self._auth.list_global_keys()
        if missing := org_file.missing(org.required, there):
            raise MissingEnvironment(missing)
        made = [] if dry_run else await self._founding.found(caller, request_id, seeds)
        ids = [one.id for one in made] if made else [None] * len(seeds)
        return Import(
            org=org.name,
            members=tuple(_member(seed, one) for seed, one in zip(seeds, ids, strict=True)),
            unset=org_file.missing(org.recommended, there),
        )


class _Sowing:
    """One organisation on its way from declarations to seeds. Every template and directory is read once."""

    def __init__(self, org: Org, folder: str, folders: OrgFolders, templates: Templates, founding: Founding) -> None:
        self._org = org
        self._folder = folder
        self._folders = folders
        self._templates = templates
        self._founding = founding
        self._kits: dict[str, tuple[WorkspaceDraft, StarterFiles]] = {}
        self._files: dict[str, Files] = {}

    async def seeds(self) -> list[Seed]:
        """A checked seed for each workspace; raises `InvalidOrgTemplate` that says which cannot be one."""
        return [await self._seed(planned) for planned in self._org.planned]

    async def _seed(self, planned: Planned) -> Seed:
        try:
            draft, kit = await self._from_template(planned.node, self._org.defaults)
            files = await self._with_own(planned.node, draft, kit.files)
            brief = org_file.brief_of(planned.node, self._org.defaults, kit.brief)
            seed = Seed(draft=draft, kit=replace(kit, files=files, brief=brief), parent=planned.parent)
            return await self._founding.checked(seed)
        except BadFolder as fault:
            raise InvalidOrgTemplate(f"{planned.path}.files_dir: {fault}") from None
        except ServiceError as refusal:
            if refusal.domain != InvalidOrgTemplate.domain:
                raise
            detail = refusal.details.get("detail")
            raise InvalidOrgTemplate(f"{planned.path}: {refusal.message}{f' ({detail})' if detail else ''}") from None

    async def _from_template(self, node: Node, defaults: Defaults) -> tuple[WorkspaceDraft, StarterFiles]:
        """The draft with what its template says, and then with the defaults of the organisation."""
        draft = org_file.draft_of(node, defaults)
        if draft.template not in self._kits:
            self._kits[draft.template] = await self._templates.kit(WorkspaceDraft(name="", template=draft.template))
        said, kit = self._kits[draft.template]
        if not draft.external:
            draft = replace(
                draft,
                runtime=draft.runtime or said.runtime or defaults.runtime,
                model=draft.model or said.model or defaults.model,
            )
        return replace(draft, tier=draft.tier or said.tier or defaults.tier or org_file.DEFAULT_TIER), kit

    async def _with_own(self, node: Node, draft: WorkspaceDraft, files: Files) -> Files:
        """The files of the template, those of the node's own directory over them, and its prompt."""
        if node.files_dir:
            files = {**files, **await self._directory(node.files_dir)}
        if node.system_prompt:
            files = {**files, SYSTEM_PROMPT_FILE: node.system_prompt}
        if files and CONFIG_FILE not in files:
            files = {**files, CONFIG_FILE: config_file.generated(draft)}
        return starter_files.validate_files(files) if node.files_dir or node.system_prompt else files

    async def _directory(self, folder: str) -> Files:
        if not self._folder:
            raise BadFolder("only an org template of a directory has files")
        if folder not in self._files:
            self._files[folder] = await self._folders.files(self._folder, folder)
        return self._files[folder]


def _member(seed: Seed, workspace_id: WorkspaceId | None) -> Member:
    return Member(
        id=workspace_id, name=seed.draft.name, tier=seed.draft.tier, runtime=seed.draft.runtime, parent=seed.parent
    )
