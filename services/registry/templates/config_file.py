"""What the config.yaml of a template says of the workspaces made from it. What is the agent's own is passed over."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.registry.templates.bounded_yaml import InvalidYaml, parse_yaml
from services.registry.workspace.model import EXTERNAL, Brief, Schedule
from services.registry.workspace.starter_files import CONFIG, Kit
from services.registry.workspace.validation import CODE_BYTES, NAME_BYTES, Draft

MAX_CONFIG_BYTES = 256 * 1024
"""Of the largest config.yaml."""

MAX_PROMPT_CHARS = 32 * 1024
"""Characters of the longest prompt."""

MAX_LIST_ITEMS = 200
"""Of anything that is listed."""

ShortText = Annotated[str, Field(max_length=CODE_BYTES)]
PromptText = Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]
NameText = Annotated[str, Field(min_length=1, max_length=NAME_BYTES)]


class _ConfigFileModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class DeclaredSchedule(BaseModel):
    """A message by the clock."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(max_length=NAME_BYTES)] = ""
    cron_expr: Annotated[str, Field(min_length=9, max_length=CODE_BYTES)]
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
    timezone: ShortText = "UTC"
    enabled: bool = True


class TemplateModel(_ConfigFileModel):
    """A model that agents of a template can use."""

    id: NameText
    name: Annotated[str, Field(max_length=NAME_BYTES)] = ""
    required_env: Annotated[list[ShortText], Field(max_length=MAX_LIST_ITEMS)] = []


class SubWorkspace(_ConfigFileModel):
    """A workspace that comes below one when its team is expanded. `config` names its template."""

    name: NameText
    role: str = ""
    config: ShortText = ""


class RuntimeConfig(_ConfigFileModel):
    model: ShortText | None = None
    required_env: Annotated[list[ShortText], Field(max_length=MAX_LIST_ITEMS)] = []
    provision_timeout_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 0


class TemplateConfig(_ConfigFileModel):
    """What a config.yaml says."""

    name: Annotated[str, Field(max_length=NAME_BYTES)] = ""
    description: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    runtime: ShortText = ""
    model: ShortText | None = None
    skills: Annotated[list[ShortText], Field(max_length=MAX_LIST_ITEMS)] = []
    models: Annotated[list[TemplateModel], Field(max_length=MAX_LIST_ITEMS)] = []
    required_env: Annotated[list[ShortText], Field(max_length=MAX_LIST_ITEMS)] = []
    runtime_config: RuntimeConfig = RuntimeConfig()
    sub_workspaces: Annotated[list[SubWorkspace], Field(max_length=MAX_LIST_ITEMS)] = []
    initial_prompt: PromptText = ""
    idle_prompt: PromptText = ""
    schedules: Annotated[list[DeclaredSchedule], Field(max_length=MAX_LIST_ITEMS)] = []
    plugins: Annotated[list[ShortText], Field(max_length=MAX_LIST_ITEMS)] = []

    @property
    def default_model(self) -> str:
        """The model of workspaces whose creator names none."""
        return self.model or self.runtime_config.model or ""

    @property
    def required_variables(self) -> tuple[str, ...]:
        """The environment that its agents cannot do without."""
        return tuple(dict.fromkeys([*self.required_env, *self.runtime_config.required_env]))

    @property
    def brief(self) -> Brief:
        """What its agents are to be told."""
        return Brief(
            initial_prompt=self.initial_prompt,
            idle_prompt=self.idle_prompt,
            schedules=build_schedules(self.schedules),
            plugins=tuple(self.plugins),
        )


def parse_config(content: bytes) -> TemplateConfig:
    """What a config.yaml says; raises `InvalidYaml`."""
    if len(content) > MAX_CONFIG_BYTES:
        raise InvalidYaml(f"more than {MAX_CONFIG_BYTES} bytes")
    said = parse_yaml(content)
    if not isinstance(said, Mapping):
        raise InvalidYaml("not a mapping")
    try:
        return TemplateConfig.model_validate({key: value for key, value in said.items() if value is not None})
    except ValidationError as error:
        raise InvalidYaml(describe_fault(error)) from None


def describe_fault(error: ValidationError) -> str:
    """The first thing that is wrong, and where: `workspaces.0.tier: ...`. Quotes keys, never values."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(step)[:50] for step in fault["loc"])
    told = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    return f"{path}: {told}" if path else str(told)


def build_schedules(timetables: list[DeclaredSchedule]) -> tuple[Schedule, ...]:
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


def apply_defaults(draft: Draft, said: TemplateConfig) -> Draft:
    """The draft with what the template says wherever its creator said nothing."""
    if draft.external or draft.runtime == EXTERNAL:
        return draft
    return replace(
        draft,
        runtime=draft.runtime or said.runtime,
        model=draft.model or said.default_model,
        tier=draft.tier or said.tier or 0,
    )


def generate_config(draft: Draft) -> str:
    """A config.yaml for a workspace that has none. JSON is YAML."""
    said: dict[str, Any] = {"name": draft.name, "description": draft.role, "tier": draft.tier, "runtime": draft.runtime}
    if draft.model:
        said["model"] = draft.model
    return json.dumps({key: value for key, value in said.items() if value}, indent=2, ensure_ascii=False) + "\n"


def read_config(kit: Kit) -> TemplateConfig | None:
    """What the config.yaml of a kit says; `None` where there is none that can be read."""
    text = kit.files.get(CONFIG)
    try:
        return parse_config(text.encode()) if text is not None else None
    except InvalidYaml:
        return None
