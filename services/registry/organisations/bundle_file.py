"""A bundle: a tree of workspaces written down, with everything but secrets. What is written can be read back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.registry.errors.orgs import InvalidBundle
from services.registry.templates.bounded_yaml import BadDocument, read
from services.registry.templates.config_file import Timetable, complaint, schedules_of
from services.registry.workspace.model import EXTERNAL, Brief, Workspace
from services.registry.workspace.starter_files import MAX_FILES, SYSTEM_PROMPT_FILE, Files, StarterFiles
from services.registry.workspace.validation import MAX_CODE_BYTES, MAX_DIRECTORY_BYTES, MAX_NAME_BYTES, WorkspaceDraft

SCHEMA = "1.0"
"""The form of bundles."""

AUTHOR = "molecule"

SKILLS, PROMPTS, TOOLS = "skills/", "prompts/", "tools/"
"""Where the files of skills, prompts and tools are."""

SKILL = "SKILL.md"
"""The file in which a skill says what it is."""

Code = Annotated[str, Field(max_length=MAX_CODE_BYTES)]
Coordinate = Annotated[float, Field(ge=-1e12, le=1e12)]


@dataclass(frozen=True, slots=True)
class Packed:
    """A workspace that was read from a bundle, and the place of the one above it."""

    draft: WorkspaceDraft
    kit: StarterFiles
    parent: int | None


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class _Skill(_Said):
    id: Annotated[str, Field(min_length=1, max_length=MAX_CODE_BYTES, pattern="^[^/]+$")]
    files: dict[str, str] = {}


class _Tool(_Said):
    id: Annotated[str, Field(min_length=1, max_length=MAX_CODE_BYTES, pattern="^[^/]+$")]
    config: dict[str, Any] = {}


class _Place(_Said):
    x: Coordinate = 0
    y: Coordinate = 0


class _Bundle(_Said):
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
    description: str = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    model: Code = ""
    runtime: Code = ""
    template: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    delivery_mode: Code = ""
    workspace_dir: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    workspace_access: Code = ""
    budget_limit: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    max_concurrent_tasks: Annotated[int, Field(ge=0, lt=2**31)] = 0
    hibernation_idle_minutes: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    canvas: _Place = _Place()
    system_prompt: str = ""
    skills: Annotated[list[_Skill], Field(max_length=MAX_FILES)] = []
    tools: Annotated[list[_Tool], Field(max_length=MAX_FILES)] = []
    prompts: dict[str, str] = {}
    files: dict[str, str] = {}
    initial_prompt: str = ""
    idle_prompt: str = ""
    schedules: list[Timetable] = []
    plugins: list[Code] = []
    sub_workspaces: list["_Bundle"] = []


def written(workspace: Workspace, files: Files, card: Any, children: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: ANN401 - somebody else's JSON
    """A workspace as a bundle, with the bundles of its children. `card` is `None` where there is none."""
    brief = asdict(workspace.brief)
    return {
        "schema": SCHEMA,
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
        **sorted_out(files),
        "initial_prompt": brief["initial_prompt"],
        "idle_prompt": brief["idle_prompt"],
        "schedules": list(brief["schedules"]),
        "plugins": list(brief["plugins"]),
        "sub_workspaces": list(children),
        **({} if card is None else {"agent_card": card}),
        "author": AUTHOR,
        "version": "1.0.0",
    }


def packed(content: bytes) -> list[Packed]:
    """The workspaces of a bundle, each after the one above it; raises `InvalidBundle` that says where it is wrong."""
    try:
        root = _Bundle.model_validate(_without_nothing(json.loads(content)))
    except ValidationError as error:
        raise InvalidBundle(complaint(error)) from None
    except (ValueError, RecursionError):
        raise InvalidBundle("not readable JSON") from None
    found: list[Packed] = []

    def add(said: _Bundle, parent: int | None) -> None:
        found.append(Packed(_draft(said), _kit(said), parent))
        place = len(found) - 1
        for child in said.sub_workspaces:
            add(child, place)

    add(root, None)
    return found


def sorted_out(files: Files) -> dict[str, Any]:
    """Files as the parts of a bundle. `put_together` makes the same files of them."""
    skills: dict[str, dict[str, str]] = {}
    tools, prompts, others = [], {}, {}
    for path, text in files.items():
        folder, _, rest = path.partition("/")
        name, _, inner = rest.partition("/")
        if f"{folder}/" == SKILLS and inner:
            skills.setdefault(name, {})[inner] = text
        elif f"{folder}/" == PROMPTS:
            prompts[rest] = text
        elif (config := _tool(path, text)) is not None:
            tools.append({"id": path.removeprefix(TOOLS).removesuffix(".json"), "config": config})
        elif path != SYSTEM_PROMPT_FILE:
            others[path] = text
    return {
        "system_prompt": files.get(SYSTEM_PROMPT_FILE, ""),
        "skills": [{"id": name, **_introduced(name, inside), "files": inside} for name, inside in skills.items()],
        "tools": tools,
        "prompts": prompts,
        "files": others | ({SYSTEM_PROMPT_FILE: ""} if files.get(SYSTEM_PROMPT_FILE) == "" else {}),
    }


def put_together(said: _Bundle) -> Files:
    """The files of which a bundle was made."""
    files = dict(said.files)
    if said.system_prompt:
        files[SYSTEM_PROMPT_FILE] = said.system_prompt
    for skill in said.skills:
        files |= {f"{SKILLS}{skill.id}/{path}": text for path, text in skill.files.items()}
    files |= {f"{PROMPTS}{path}": text for path, text in said.prompts.items()}
    files |= {f"{TOOLS}{tool.id}.json": _canonical(tool.config) for tool in said.tools}
    return files


def parts(content: Mapping[str, Any]) -> _Bundle:
    """Parts of a bundle without the rest; for what is only about files."""
    return _Bundle.model_validate({"name": "parts", **content})


def _draft(said: _Bundle) -> WorkspaceDraft:
    external = said.runtime == EXTERNAL
    return WorkspaceDraft(
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


def _kit(said: _Bundle) -> StarterFiles:
    brief = Brief(
        initial_prompt=said.initial_prompt,
        idle_prompt=said.idle_prompt,
        schedules=schedules_of(said.schedules),
        plugins=tuple(said.plugins),
    )
    return StarterFiles(template=said.template, files=put_together(said), brief=brief)


def _tool(path: str, text: str) -> dict[str, Any] | None:
    """The config of a tool; `None` where writing it again would not give the same file."""
    name = path.removeprefix(TOOLS).removesuffix(".json")
    if path != f"{TOOLS}{name}.json" or not name or "/" in name:
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and _canonical(config) == text else None


def _canonical(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _introduced(name: str, files: Files) -> dict[str, str]:
    """What a skill says of itself at the head of its main file."""
    head, found, _ = files.get(SKILL, "").removeprefix("---\n").partition("\n---")
    try:
        said = read(head.encode()) if found else None
    except BadDocument:
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
