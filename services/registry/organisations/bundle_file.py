"""A bundle: a tree of workspaces written down, with everything but secrets. What is written can be read back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.registry.errors.orgs import InvalidBundle
from services.registry.templates.bounded_yaml import InvalidYaml, parse_yaml
from services.registry.templates.config_file import DeclaredSchedule, build_schedules, describe_fault
from services.registry.workspace.model import EXTERNAL, Brief, Workspace
from services.registry.workspace.starter_files import MOST_FILES, SYSTEM_PROMPT, Files, Kit
from services.registry.workspace.validation import CODE_BYTES, NAME_BYTES, PATH_BYTES, Draft

SCHEMA_VERSION = "1.0"
"""The form of bundles."""

AUTHOR = "molecule"

SKILLS_DIR, PROMPTS_DIR, TOOLS_DIR = "skills/", "prompts/", "tools/"
"""Where the files of skills, prompts and tools are."""

SKILL_FILE = "SKILL.md"
"""The file in which a skill says what it is."""

Code = Annotated[str, Field(max_length=CODE_BYTES)]
Coordinate = Annotated[float, Field(ge=-1e12, le=1e12)]


@dataclass(frozen=True, slots=True)
class BundledWorkspace:
    """A workspace that was read from a bundle, and the place of the one above it."""

    draft: Draft
    kit: Kit
    parent: int | None


class _BundleFileModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class _BundledSkill(_BundleFileModel):
    id: Annotated[str, Field(min_length=1, max_length=CODE_BYTES, pattern="^[^/]+$")]
    files: dict[str, str] = {}


class _BundledTool(_BundleFileModel):
    id: Annotated[str, Field(min_length=1, max_length=CODE_BYTES, pattern="^[^/]+$")]
    config: dict[str, Any] = {}


class _BundledPosition(_BundleFileModel):
    x: Coordinate = 0
    y: Coordinate = 0


class _BundleFile(_BundleFileModel):
    name: Annotated[str, Field(min_length=1, max_length=NAME_BYTES)]
    description: str = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    model: Code = ""
    runtime: Code = ""
    template: Annotated[str, Field(max_length=PATH_BYTES)] = ""
    delivery_mode: Code = ""
    workspace_dir: Annotated[str, Field(max_length=PATH_BYTES)] = ""
    workspace_access: Code = ""
    budget_limit: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    max_concurrent_tasks: Annotated[int, Field(ge=0, lt=2**31)] = 0
    hibernation_idle_minutes: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    canvas: _BundledPosition = _BundledPosition()
    system_prompt: str = ""
    skills: Annotated[list[_BundledSkill], Field(max_length=MOST_FILES)] = []
    tools: Annotated[list[_BundledTool], Field(max_length=MOST_FILES)] = []
    prompts: dict[str, str] = {}
    files: dict[str, str] = {}
    initial_prompt: str = ""
    idle_prompt: str = ""
    schedules: list[DeclaredSchedule] = []
    plugins: list[Code] = []
    sub_workspaces: list["_BundleFile"] = []


def render_bundle(
    workspace: Workspace, files: Files, card: Any, children: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:  # noqa: ANN401 - somebody else's JSON
    """A workspace as a bundle, with the bundles of its children. `card` is `None` where there is none."""
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
        "canvas": {"x": workspace.x, "y": workspace.y},
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


def parse_bundle(content: bytes) -> list[BundledWorkspace]:
    """The workspaces of a bundle, each after the one above it; raises `InvalidBundle` that says where it is wrong."""
    try:
        root = _BundleFile.model_validate(_without_nothing(json.loads(content)))
    except ValidationError as error:
        raise InvalidBundle(describe_fault(error)) from None
    except (ValueError, RecursionError):
        raise InvalidBundle("not readable JSON") from None
    found: list[BundledWorkspace] = []

    def add(said: _BundleFile, parent: int | None) -> None:
        found.append(BundledWorkspace(_build_draft(said), _build_starter_files(said), parent))
        place = len(found) - 1
        for child in said.sub_workspaces:
            add(child, place)

    add(root, None)
    return found


def split_files(files: Files) -> dict[str, Any]:
    """Files as the parts of a bundle. `join_files` makes the same files of them."""
    skills: dict[str, dict[str, str]] = {}
    tools, prompts, others = [], {}, {}
    for path, text in files.items():
        folder, _, rest = path.partition("/")
        name, _, inner = rest.partition("/")
        if f"{folder}/" == SKILLS_DIR and inner:
            skills.setdefault(name, {})[inner] = text
        elif f"{folder}/" == PROMPTS_DIR:
            prompts[rest] = text
        elif (config := _parse_tool(path, text)) is not None:
            tools.append({"id": path.removeprefix(TOOLS_DIR).removesuffix(".json"), "config": config})
        elif path != SYSTEM_PROMPT:
            others[path] = text
    return {
        "system_prompt": files.get(SYSTEM_PROMPT, ""),
        "skills": [
            {"id": name, **_read_skill_header(name, inside), "files": inside} for name, inside in skills.items()
        ],
        "tools": tools,
        "prompts": prompts,
        "files": others | ({SYSTEM_PROMPT: ""} if files.get(SYSTEM_PROMPT) == "" else {}),
    }


def join_files(said: _BundleFile) -> Files:
    """The files of which a bundle was made."""
    files = dict(said.files)
    if said.system_prompt:
        files[SYSTEM_PROMPT] = said.system_prompt
    for skill in said.skills:
        files |= {f"{SKILLS_DIR}{skill.id}/{path}": text for path, text in skill.files.items()}
    files |= {f"{PROMPTS_DIR}{path}": text for path, text in said.prompts.items()}
    files |= {f"{TOOLS_DIR}{tool.id}.json": _render_tool(tool.config) for tool in said.tools}
    return files


def parse_files(content: Mapping[str, Any]) -> _BundleFile:
    """Parts of a bundle without the rest; for what is only about files."""
    return _BundleFile.model_validate({"name": "parts", **content})


def _build_draft(said: _BundleFile) -> Draft:
    external = said.runtime == EXTERNAL
    return Draft(
        name=said.name,
        role=said.description,
        runtime=said.runtime,
        model=said.model,
        tier=said.tier or 0,
        external=external,
        delivery_mode=said.delivery_mode,
        workspace_dir=said.workspace_dir,
        workspace_access=said.workspace_access,
        budget_limit=said.budget_limit,
        max_concurrent_tasks=said.max_concurrent_tasks,
        hibernation_idle_minutes=said.hibernation_idle_minutes,
        x=float(said.canvas.x),
        y=float(said.canvas.y),
    )


def _build_starter_files(said: _BundleFile) -> Kit:
    brief = Brief(
        initial_prompt=said.initial_prompt,
        idle_prompt=said.idle_prompt,
        schedules=build_schedules(said.schedules),
        plugins=tuple(said.plugins),
    )
    return Kit(template=said.template, files=join_files(said), brief=brief)


def _parse_tool(path: str, text: str) -> dict[str, Any] | None:
    """The config of a tool; `None` where writing it again would not give the same file."""
    name = path.removeprefix(TOOLS_DIR).removesuffix(".json")
    if path != f"{TOOLS_DIR}{name}.json" or not name or "/" in name:
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and _render_tool(config) == text else None


def _render_tool(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _read_skill_header(name: str, files: Files) -> dict[str, str]:
    """What a skill says of itself at the head of its main file."""
    head, found, _ = files.get(SKILL_FILE, "").removeprefix("---\n").partition("\n---")
    try:
        said = parse_yaml(head.encode()) if found else None
    except InvalidYaml:
        said = None
    told = said if isinstance(said, dict) else {}
    return {"name": str(told.get("name", name)), "description": str(told.get("description", ""))}


def _without_nothing(said: Any) -> Any:  # noqa: ANN401 - somebody else's JSON
    match said:
        case dict():
            return {key: _without_nothing(value) for key, value in said.items() if value is not None}
        case list():
            return [_without_nothing(value) for value in said]
        case _:
            return said
