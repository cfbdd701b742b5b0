"""The JSON format of bundles: a tree of workspaces with everything but secrets. Reading inverts writing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.chassis import strict_json
from services.chassis.strict_json import drop_zero_fraction
from services.registry.directory.workspace_plan import WorkspacePlan
from services.registry.errors.orgs import InvalidBundle
from services.registry.templates.bounded_yaml import InvalidYaml, parse_yaml
from services.registry.templates.config_file import (
    Coordinate,
    DeclaredSchedule,
    ShortText,
    build_schedules,
    describe_fault,
    drop_nulls,
)
from services.registry.workspace.model import EXTERNAL, Brief, Workspace
from services.registry.workspace.starter_files import MAX_FILES, SYSTEM_PROMPT_FILE, Files, StarterFiles
from services.registry.workspace.validation import MAX_CODE_BYTES, MAX_DIRECTORY_BYTES, MAX_NAME_BYTES, WorkspaceDraft

SCHEMA_VERSION = "1.0"

AUTHOR = "molecule"

MAX_BUNDLE_DEPTH = 400
"""Nesting levels of one bundle: two for each level of the tree."""

SKILLS_DIR, PROMPTS_DIR, TOOLS_DIR = "skills/", "prompts/", "tools/"

SKILL_FILE = "SKILL.md"
"""The main file of a skill. Its front matter has the name and the description of the skill."""


class _BundleFileModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class _BundledSkill(_BundleFileModel):
    id: Annotated[str, Field(min_length=1, max_length=MAX_CODE_BYTES, pattern="^[^/]+$")]
    files: dict[str, str] = {}


class _BundledTool(_BundleFileModel):
    id: Annotated[str, Field(min_length=1, max_length=MAX_CODE_BYTES, pattern="^[^/]+$")]
    config: dict[str, Any] = {}


class _BundledPosition(_BundleFileModel):
    x: Coordinate = 0
    y: Coordinate = 0


class _BundleFile(_BundleFileModel):
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
    description: str = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    model: ShortText = ""
    runtime: ShortText = ""
    template: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    delivery_mode: ShortText = ""
    workspace_dir: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    workspace_access: ShortText = ""
    budget_limit: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    max_concurrent_tasks: Annotated[int, Field(ge=0, lt=2**31)] = 0
    hibernation_idle_minutes: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    canvas: _BundledPosition = _BundledPosition()
    system_prompt: str = ""
    skills: Annotated[list[_BundledSkill], Field(max_length=MAX_FILES)] = []
    tools: Annotated[list[_BundledTool], Field(max_length=MAX_FILES)] = []
    prompts: dict[str, str] = {}
    files: dict[str, str] = {}
    initial_prompt: str = ""
    idle_prompt: str = ""
    schedules: list[DeclaredSchedule] = []
    plugins: list[ShortText] = []
    sub_workspaces: list["_BundleFile"] = []


def render_bundle(
    workspace: Workspace,
    files: Files,
    card: Any,  # noqa: ANN401 - the JSON of an agent
    children: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the bundle of a workspace; `children` are rendered bundles, `card` is `None` without a card."""
    brief = asdict(workspace.brief)
    return {
        "schema": SCHEMA_VERSION,
        "id": workspace.id,
        "name": workspace.name,
        "description": workspace.role or "",
        "tier": workspace.tier,
        "model": workspace.model or "",
        "runtime": workspace.runtime,
        "template": workspace.template,
        "delivery_mode": workspace.delivery_mode.value,
        "workspace_dir": workspace.workspace_dir or "",
        "workspace_access": workspace.workspace_access.value,
        "budget_limit": workspace.budget_limit,
        "max_concurrent_tasks": workspace.max_concurrent_tasks,
        "hibernation_idle_minutes": workspace.hibernation_idle_minutes,
        "canvas": {"x": drop_zero_fraction(workspace.x), "y": drop_zero_fraction(workspace.y)},
        **split_files(files),
        "initial_prompt": brief["initial_prompt"],
        "idle_prompt": brief["idle_prompt"],
        "schedules": list(brief["schedules"]),
        "plugins": list(brief["plugins"]),
        "sub_workspaces": list(children),
        **({} if card is None else {"agent_card": card}),
        "author": AUTHOR,
        "version": "1.0.0",
    }


def parse_bundle(content: bytes) -> list[WorkspacePlan]:
    """Return a plan for each workspace of a bundle, parents first; raises `InvalidBundle` with the wrong member."""
    try:
        root = _BundleFile.model_validate(drop_nulls(strict_json.parse(content, max_depth=MAX_BUNDLE_DEPTH)))
    except ValidationError as error:
        raise InvalidBundle(describe_fault(error)) from None
    except strict_json.JsonLimitExceeded as error:
        raise InvalidBundle(str(error)) from None
    except (ValueError, RecursionError):
        raise InvalidBundle("not readable JSON") from None
    plans: list[WorkspacePlan] = []

    def add(bundle: _BundleFile, parent: int | None) -> None:
        plans.append(WorkspacePlan(draft=_build_draft(bundle), starter=_build_starter(bundle), parent=parent))
        index = len(plans) - 1
        for child in bundle.sub_workspaces:
            add(child, index)

    add(root, None)
    return plans


def split_files(files: Files) -> dict[str, Any]:
    """Return starter files as the members of a bundle. `join_files` is the inverse."""
    skills: dict[str, dict[str, str]] = {}
    tools, prompts, others = [], {}, {}
    for path, text in files.items():
        folder, _, rest = path.partition("/")
        name, _, inner = rest.partition("/")
        if f"{folder}/" == SKILLS_DIR and inner and len(name) <= MAX_CODE_BYTES:
            skills.setdefault(name, {})[inner] = text
        elif f"{folder}/" == PROMPTS_DIR and rest:
            prompts[rest] = text
        elif (config := _parse_tool(path, text)) is not None:
            tools.append({"id": path.removeprefix(TOOLS_DIR).removesuffix(".json"), "config": config})
        elif path != SYSTEM_PROMPT_FILE:
            others[path] = text
    return {
        "system_prompt": files.get(SYSTEM_PROMPT_FILE, ""),
        "skills": [
            {"id": name, **_read_skill_header(name, inside), "files": inside} for name, inside in skills.items()
        ],
        "tools": tools,
        "prompts": prompts,
        "files": others | ({SYSTEM_PROMPT_FILE: ""} if files.get(SYSTEM_PROMPT_FILE) == "" else {}),
    }


def join_files(bundle: _BundleFile) -> Files:
    """Return the starter files that a bundle contains."""
    files = dict(bundle.files)
    if bundle.system_prompt:
        files[SYSTEM_PROMPT_FILE] = bundle.system_prompt
    for skill in bundle.skills:
        files |= {f"{SKILLS_DIR}{skill.id}/{path}": text for path, text in skill.files.items()}
    files |= {f"{PROMPTS_DIR}{path}": text for path, text in bundle.prompts.items()}
    files |= {f"{TOOLS_DIR}{tool.id}.json": _render_tool(tool.config) for tool in bundle.tools}
    return files


def parse_file_members(members: Mapping[str, Any]) -> _BundleFile:
    """Return a bundle that has only the members which `split_files` writes."""
    return _BundleFile.model_validate({"name": "parts", **members})


def _build_draft(bundle: _BundleFile) -> WorkspaceDraft:
    return WorkspaceDraft(
        name=bundle.name,
        role=bundle.description,
        runtime=bundle.runtime,
        model=bundle.model,
        tier=bundle.tier or 0,
        external=bundle.runtime == EXTERNAL,
        delivery_mode=bundle.delivery_mode,
        workspace_dir=bundle.workspace_dir,
        workspace_access=bundle.workspace_access,
        budget_limit=bundle.budget_limit,
        max_concurrent_tasks=bundle.max_concurrent_tasks,
        hibernation_idle_minutes=bundle.hibernation_idle_minutes,
        x=float(bundle.canvas.x),
        y=float(bundle.canvas.y),
    )


def _build_starter(bundle: _BundleFile) -> StarterFiles:
    brief = Brief(
        initial_prompt=bundle.initial_prompt,
        idle_prompt=bundle.idle_prompt,
        schedules=build_schedules(bundle.schedules),
        plugins=tuple(bundle.plugins),
    )
    return StarterFiles(template=bundle.template, files=join_files(bundle), brief=brief)


def _parse_tool(path: str, text: str) -> dict[str, Any] | None:
    """Return the config of a tool file; `None` if an import of it would not give the same file."""
    name = path.removeprefix(TOOLS_DIR).removesuffix(".json")
    if path != f"{TOOLS_DIR}{name}.json" or not 1 <= len(name) <= MAX_CODE_BYTES or "/" in name:
        return None
    try:
        config = strict_json.parse(text.encode())
    except strict_json.InvalidJson:
        return None
    return config if isinstance(config, dict) and _render_tool(drop_nulls(config)) == text else None


def _render_tool(config: Mapping[str, Any]) -> str:
    return msgspec.json.format(strict_json.dump(config), indent=2).decode() + "\n"


def _read_skill_header(name: str, files: Files) -> dict[str, str]:
    """Name and description of a skill from the front matter of its main file; `name` where that has no name."""
    header, found, _ = files.get(SKILL_FILE, "").removeprefix("---\n").partition("\n---")
    try:
        parsed = parse_yaml(header.encode()) if found else None
    except InvalidYaml:
        parsed = None
    members = parsed if isinstance(parsed, dict) else {}
    return {"name": str(members.get("name", name)), "description": str(members.get("description", ""))}
