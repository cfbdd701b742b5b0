"""What the config.yaml of a template says of the workspaces made from it. What is the agent's own is passed over."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.registry.templates.bounded_yaml import BadDocument, read
from services.registry.workspace.model import EXTERNAL, Brief, Schedule
from services.registry.workspace.starter_files import CONFIG_FILE, StarterFiles
from services.registry.workspace.validation import MAX_CODE_BYTES, MAX_NAME_BYTES, WorkspaceDraft

CONFIG_BYTES = 256 * 1024
"""Of the largest config.yaml."""

TEXT = 32 * 1024
"""Characters of the longest prompt."""

MANY = 200
"""Of anything that is listed."""

Code = Annotated[str, Field(max_length=MAX_CODE_BYTES)]
Prompt = Annotated[str, Field(max_length=TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class Timetable(BaseModel):
    """A message by the clock."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(max_length=MAX_NAME_BYTES)] = ""
    cron_expr: Annotated[str, Field(min_length=9, max_length=MAX_CODE_BYTES)]
    prompt: Annotated[str, Field(min_length=1, max_length=TEXT)]
    timezone: Code = "UTC"
    enabled: bool = True


class Model(_Said):
    """A model that agents of a template can use."""

    id: Name
    name: Annotated[str, Field(max_length=MAX_NAME_BYTES)] = ""
    required_env: Annotated[list[Code], Field(max_length=MANY)] = []


class Member(_Said):
    """A workspace that comes below one when its team is expanded. `config` names its template."""

    name: Name
    role: str = ""
    config: Code = ""


class _Running(_Said):
    model: Code | None = None
    required_env: Annotated[list[Code], Field(max_length=MANY)] = []
    provision_timeout_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 0


class Recipe(_Said):
    """What a config.yaml says."""

    name: Annotated[str, Field(max_length=MAX_NAME_BYTES)] = ""
    description: Annotated[str, Field(max_length=TEXT)] = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    runtime: Code = ""
    model: Code | None = None
    skills: Annotated[list[Code], Field(max_length=MANY)] = []
    models: Annotated[list[Model], Field(max_length=MANY)] = []
    required_env: Annotated[list[Code], Field(max_length=MANY)] = []
    runtime_config: _Running = _Running()
    sub_workspaces: Annotated[list[Member], Field(max_length=MANY)] = []
    initial_prompt: Prompt = ""
    idle_prompt: Prompt = ""
    schedules: Annotated[list[Timetable], Field(max_length=MANY)] = []
    plugins: Annotated[list[Code], Field(max_length=MANY)] = []

    @property
    def default_model(self) -> str:
        """The model of workspaces whose creator names none."""
        return self.model or self.runtime_config.model or ""

    @property
    def needed(self) -> tuple[str, ...]:
        """The environment that its agents cannot do without."""
        return tuple(dict.fromkeys([*self.required_env, *self.runtime_config.required_env]))

    @property
    def brief(self) -> Brief:
        """What its agents are to be told."""
        return Brief(
            initial_prompt=self.initial_prompt,
            idle_prompt=self.idle_prompt,
            schedules=schedules_of(self.schedules),
            plugins=tuple(self.plugins),
        )


def recipe(content: bytes) -> Recipe:
    """What a config.yaml says; raises `BadDocument`."""
    if len(content) > CONFIG_BYTES:
        raise BadDocument(f"more than {CONFIG_BYTES} bytes")
    said = read(content)
    if not isinstance(said, Mapping):
        raise BadDocument("not a mapping")
    try:
        return Recipe.model_validate({key: value for key, value in said.items() if value is not None})
    except ValidationError as error:
        raise BadDocument(complaint(error)) from None


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong, and where: `workspaces.0.tier: ...`. Quotes keys, never values."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(step)[:50] for step in fault["loc"])
    told = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    return f"{path}: {told}" if path else str(told)


def schedules_of(timetables: list[Timetable]) -> tuple[Schedule, ...]:
    """The schedules as they are kept; carriage returns are dropped from prompts, as the route for schedules does."""
    return tuple(
        Schedule(
            name=one.name,
            cron_expr=one.cron_expr,
            prompt=one.prompt.replace("\r", ""),
            timezone=one.timezone,
            enabled=one.enabled,
        )
        for one in timetables
    )


def defaulted(draft: WorkspaceDraft, said: Recipe) -> WorkspaceDraft:
    """The draft with what the template says wherever its creator said nothing."""
    if draft.external or draft.runtime == EXTERNAL:
        return draft
    return replace(
        draft,
        runtime=draft.runtime or said.runtime,
        model=draft.model or said.default_model,
        tier=draft.tier or said.tier or 0,
    )


def generated(draft: WorkspaceDraft) -> str:
    """A config.yaml for a workspace that has none. JSON is YAML."""
    said: dict[str, Any] = {"name": draft.name, "description": draft.role, "tier": draft.tier, "runtime": draft.runtime}
    if draft.model:
        said["model"] = draft.model
    return json.dumps({key: value for key, value in said.items() if value}, indent=2, ensure_ascii=False) + "\n"


def of_kit(kit: StarterFiles) -> Recipe | None:
    """What the config.yaml of a kit says; `None` where there is none that can be read."""
    text = kit.files.get(CONFIG_FILE)
    try:
        return recipe(text.encode()) if text is not None else None
    except BadDocument:
        return None
