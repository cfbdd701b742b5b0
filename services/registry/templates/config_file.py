"""The config.yaml of a template: parses what the plane reads of it, and ignores what is meant for the agent."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.registry.templates.bounded_yaml import InvalidYaml, parse_yaml
from services.registry.workspace.model import EXTERNAL, Brief, Schedule
from services.registry.workspace.starter_files import CONFIG_FILE, Files
from services.registry.workspace.validation import MAX_CODE_BYTES, MAX_NAME_BYTES, WorkspaceDraft

MAX_CONFIG_BYTES = 256 * 1024
"""Size of the largest config.yaml."""

MAX_PROMPT_CHARS = 32 * 1024
"""Length of the longest prompt."""

MAX_LIST_ITEMS = 200
"""Items of any list in the file."""

ShortText = Annotated[str, Field(max_length=MAX_CODE_BYTES)]
PromptText = Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]
NameText = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
Coordinate = Annotated[float, Field(ge=-1e12, le=1e12)]


MAX_ADAPTER_CHARS = 200
"""Length of the longest name of an adapter module."""

AdapterModule = Annotated[
    str, Field(max_length=MAX_ADAPTER_CHARS, pattern=r"^([A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*)?$")
]

MAX_COMMAND_ARGUMENTS = 64
"""Arguments of the longest command."""

MAX_ARGUMENT_CHARS = 4096
"""Length of the longest argument of a command."""

Argument = Annotated[str, Field(max_length=MAX_ARGUMENT_CHARS, pattern=r"^[^\x00\r\n]*$")]


class _ConfigFileModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class DeclaredSchedule(BaseModel):
    """A message that the plane sends to the agent at the times of a cron expression."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(max_length=MAX_NAME_BYTES)] = ""
    cron_expr: Annotated[str, Field(min_length=9, max_length=MAX_CODE_BYTES)]
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
    timezone: ShortText = "UTC"
    enabled: bool = True


class TemplateModel(_ConfigFileModel):
    """A model that the agents of a template can use."""

    id: NameText
    name: Annotated[str, Field(max_length=MAX_NAME_BYTES)] = ""
    required_env: Annotated[list[ShortText], Field(max_length=MAX_LIST_ITEMS)] = []


class SubWorkspace(_ConfigFileModel):
    """A child that the expansion of a team creates. `config` names its template."""

    name: NameText
    role: str = ""
    config: ShortText = ""


class RuntimeConfig(_ConfigFileModel):
    model: ShortText | None = None
    required_env: Annotated[list[ShortText], Field(max_length=MAX_LIST_ITEMS)] = []
    provision_timeout_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 0


class TemplateConfig(_ConfigFileModel):
    """The parsed members of a config.yaml."""

    name: Annotated[str, Field(max_length=MAX_NAME_BYTES)] = ""
    description: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    runtime: ShortText = ""
    adapter: AdapterModule = ""
    """The Python module that instances of the runtime run; only that of a template on the operator's disk counts."""
    command: Annotated[list[Argument], Field(max_length=MAX_COMMAND_ARGUMENTS)] = []
    """The command that instances of the runtime run instead; only that of a template on the operator's disk counts."""
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

    @field_validator("command")
    @classmethod
    def _program_is_not_relative(cls, command: list[str]) -> list[str]:
        """A relative path would be one of the workspace's own directory, where the agent can write."""
        if command and (not command[0] or ("/" in command[0] and not command[0].startswith("/"))):
            raise ValueError("the program must be an absolute path, or a name without one")
        return command

    @property
    def default_model(self) -> str:
        """The model of a workspace whose creator names none."""
        return self.model or self.runtime_config.model or ""

    @property
    def required_variables(self) -> tuple[str, ...]:
        """The environment variables that its agents need."""
        return tuple(dict.fromkeys([*self.required_env, *self.runtime_config.required_env]))

    @property
    def brief(self) -> Brief:
        """The briefing of its agents."""
        return Brief(
            initial_prompt=self.initial_prompt,
            idle_prompt=self.idle_prompt,
            schedules=build_schedules(self.schedules),
            plugins=tuple(self.plugins),
        )


def parse_config(content: bytes) -> TemplateConfig:
    """Return the parsed config.yaml; raises `InvalidYaml`."""
    if len(content) > MAX_CONFIG_BYTES:
        raise InvalidYaml(f"more than {MAX_CONFIG_BYTES} bytes")
    members = parse_yaml(content)
    if not isinstance(members, Mapping):
        raise InvalidYaml("not a mapping")
    try:
        return TemplateConfig.model_validate({key: value for key, value in members.items() if value is not None})
    except ValidationError as error:
        raise InvalidYaml(describe_fault(error)) from None


def describe_fault(error: ValidationError) -> str:
    """Return the path and text of the first error, as in `workspaces.0.tier: ...`, without any value of the file."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(step)[:50] for step in fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            text = "unknown key"
        case "model_type":  # the text of pydantic names a class
            text = "Input should be a valid dictionary"
        case _:
            text = fault["msg"].removeprefix("Value error, ")
    return f"{path}: {text}" if path else text


def drop_nulls(value: Any) -> Any:  # noqa: ANN401 - any YAML or JSON value
    """Return the value without mapping members that are null, at every level: null means the same as absent."""
    match value:
        case dict():
            return {key: drop_nulls(member) for key, member in value.items() if member is not None}
        case list():
            return [drop_nulls(item) for item in value]
        case _:
            return value


def build_schedules(declared: list[DeclaredSchedule]) -> tuple[Schedule, ...]:
    """Return the schedules as they are stored: without carriage returns in prompts, as the REST contract requires."""
    return tuple(
        Schedule(
            name=one.name,
            cron_expr=one.cron_expr,
            prompt=one.prompt.replace("\r", ""),
            timezone=one.timezone,
            enabled=one.enabled,
        )
        for one in declared
    )


def apply_defaults(draft: WorkspaceDraft, config: TemplateConfig) -> WorkspaceDraft:
    """Return the draft with the template's runtime, model and tier where it has none; an external one is unchanged."""
    if draft.external or draft.runtime == EXTERNAL:
        return draft
    return replace(
        draft,
        runtime=draft.runtime or config.runtime,
        model=draft.model or config.default_model,
        tier=draft.tier or config.tier or 0,
    )


def generate_config(draft: WorkspaceDraft) -> str:
    """Return a config.yaml for a workspace that has none. It is JSON, which is valid YAML."""
    members = {
        "name": draft.name,
        "description": draft.role,
        "tier": draft.tier,
        "runtime": draft.runtime,
        "model": draft.model,
    }
    return json.dumps({key: value for key, value in members.items() if value}, indent=2, ensure_ascii=False) + "\n"


def read_config(files: Files) -> TemplateConfig | None:
    """Return the parsed config.yaml among the files of a workspace; `None` if it is absent or invalid."""
    text = files.get(CONFIG_FILE)
    try:
        return parse_config(text.encode()) if text is not None else None
    except InvalidYaml:
        return None
