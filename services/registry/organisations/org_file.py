"""An organisation as a file declares it: what it may say, and what is to be made of it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.registry.errors.orgs import InvalidOrgTemplate
from services.registry.templates.config_file import MAX_PROMPT_CHARS, DeclaredSchedule, build_schedules, describe_fault
from services.registry.workspace.model import Brief
from services.registry.workspace.validation import CODE_BYTES, NAME_BYTES, PATH_BYTES, Draft

DEFAULT_TIER = 2
"""The tier of workspaces for which neither the file nor their template names one."""

MAX_WORKSPACES_PER_ORG = 1000
"""Workspaces of one organisation."""

VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
"""Names of the environment."""

EnvironmentNeed = frozenset[str]
"""Variables of which one has to be there."""


def _check_variable_name(name: str) -> str:
    if not VARIABLE_NAME.fullmatch(name):
        raise ValueError("not the name of an environment variable")
    return name


class _OrgFileModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


VariableName = Annotated[str, AfterValidator(_check_variable_name)]
Code = Annotated[str, Field(max_length=CODE_BYTES)]
Coordinate = Annotated[float, Field(ge=-1e12, le=1e12)]
Prompt = Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]


class AnyOfVariables(_OrgFileModel):
    """Variables of which one is enough."""

    any_of: Annotated[list[VariableName], Field(min_length=1, max_length=50)]


DeclaredNeeds = Annotated[list[VariableName | AnyOfVariables], Field(max_length=200)]


class _OrgFilePosition(_OrgFileModel):
    x: Coordinate = 0
    y: Coordinate = 0


class OrgDefaults(_OrgFileModel):
    """What holds for every workspace of the organisation that does not say otherwise, nor does its template."""

    template: Annotated[str, Field(max_length=PATH_BYTES)] = ""
    runtime: Code = ""
    model: Code = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    delivery_mode: Code = ""
    max_concurrent_tasks: Annotated[int, Field(ge=0, lt=2**31)] = 0
    hibernation_idle_minutes: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    budget_limit: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    initial_prompt: Prompt = ""
    idle_prompt: Prompt = ""
    plugins: Annotated[list[Code], Field(max_length=200)] = []
    required_env: DeclaredNeeds = []
    recommended_env: DeclaredNeeds = []


class OrgNode(OrgDefaults):
    """A workspace, and those below it."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_BYTES)]
    role: str = ""
    external: bool = False
    url: Annotated[str, Field(max_length=PATH_BYTES)] = ""
    workspace_dir: Annotated[str, Field(max_length=PATH_BYTES)] = ""
    workspace_access: Code = ""
    secrets: Annotated[dict[str, str], Field(max_length=500, repr=False)] = {}
    canvas: _OrgFilePosition = _OrgFilePosition()
    system_prompt: Prompt = ""
    files_dir: Annotated[str, Field(max_length=PATH_BYTES)] = ""
    schedules: Annotated[list[DeclaredSchedule], Field(max_length=200)] = []
    children: Annotated[list["OrgNode"], Field(max_length=MAX_WORKSPACES_PER_ORG)] = []


class _OrgFile(_OrgFileModel):
    name: Annotated[str, Field(min_length=1, max_length=NAME_BYTES)]
    description: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ""
    defaults: OrgDefaults = OrgDefaults()
    required_env: DeclaredNeeds = []
    recommended_env: DeclaredNeeds = []
    workspaces: Annotated[list[OrgNode], Field(min_length=1, max_length=MAX_WORKSPACES_PER_ORG)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedNode:
    """A workspace of the plan. `path` is where the file says so; `parent` the place of the one above it."""

    path: str
    node: OrgNode
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """What a file declares. The workspaces come depth first, each after the one above it."""

    name: str
    description: str
    defaults: OrgDefaults
    nodes: tuple[ListedNode, ...]
    required: tuple[EnvironmentNeed, ...]
    recommended: tuple[EnvironmentNeed, ...]


def parse_organisation(said: Any) -> Organisation:  # noqa: ANN401 - somebody else's YAML or JSON
    """What a file declares; raises `InvalidOrgTemplate` that says where it is wrong."""
    try:
        read = _OrgFile.model_validate(_without_nothing(said))
    except ValidationError as error:
        raise InvalidOrgTemplate(describe_fault(error)) from None
    except RecursionError:
        raise InvalidOrgTemplate("nested too deeply") from None
    planned = tuple(_list_nodes(read.workspaces))
    if len(planned) > MAX_WORKSPACES_PER_ORG:
        raise InvalidOrgTemplate(f"workspaces: more than {MAX_WORKSPACES_PER_ORG}")
    nodes = [read.defaults, *(one.node for one in planned)]
    return Organisation(
        name=read.name,
        description=read.description,
        defaults=read.defaults,
        nodes=planned,
        required=_merge_needs([read.required_env, *(node.required_env for node in nodes)]),
        recommended=_merge_needs([read.recommended_env, *(node.recommended_env for node in nodes)]),
    )


def build_draft(node: OrgNode, defaults: OrgDefaults) -> Draft:
    """The workspace as the file wants it, before its template and the defaults are asked."""
    return Draft(
        name=node.name,
        role=node.role,
        runtime=node.runtime,
        model=node.model,
        template=node.template or defaults.template,
        tier=node.tier or 0,
        external=node.external,
        url=node.url,
        delivery_mode=node.delivery_mode or defaults.delivery_mode,
        workspace_dir=node.workspace_dir,
        workspace_access=node.workspace_access,
        budget_limit=defaults.budget_limit if node.budget_limit is None else node.budget_limit,
        max_concurrent_tasks=node.max_concurrent_tasks or defaults.max_concurrent_tasks,
        hibernation_idle_minutes=(
            defaults.hibernation_idle_minutes
            if node.hibernation_idle_minutes is None
            else node.hibernation_idle_minutes
        ),
        secrets=node.secrets,
        x=float(node.canvas.x),
        y=float(node.canvas.y),
    )


def build_brief(node: OrgNode, defaults: OrgDefaults, template: Brief) -> Brief:
    """What its agent is to be told: what the node says, else its template, else the defaults."""
    return Brief(
        initial_prompt=node.initial_prompt or template.initial_prompt or defaults.initial_prompt,
        idle_prompt=node.idle_prompt or template.idle_prompt or defaults.idle_prompt,
        schedules=build_schedules(node.schedules) or template.schedules,
        plugins=tuple(node.plugins or template.plugins or defaults.plugins),
    )


def find_missing(needs: Iterable[EnvironmentNeed], there: frozenset[str]) -> list[str | dict[str, list[str]]]:
    """The needs that nothing there satisfies, as the public contract writes them."""
    return render_needs(need for need in needs if not need & there)


def render_needs(needs: Iterable[EnvironmentNeed]) -> list[str | dict[str, list[str]]]:
    """Needs as the public contract writes them: a name, or several of which one is enough."""
    return [min(need) if len(need) == 1 else {"any_of": sorted(need)} for need in needs]


def _list_nodes(roots: list[OrgNode]) -> Iterator[ListedNode]:
    count = 0

    def below(nodes: list[OrgNode], path: str, parent: int | None) -> Iterator[ListedNode]:
        nonlocal count
        names: set[str] = set()
        for number, node in enumerate(nodes):
            here = f"{path}.{number}"
            if node.name in names:
                raise InvalidOrgTemplate(f"{here}.name: two workspaces below one have this name")
            names.add(node.name)
            place = count
            count += 1
            yield ListedNode(path=here, node=node, parent=parent)
            yield from below(node.children, f"{here}.children", place)

    yield from below(roots, "workspaces", None)


def _merge_needs(lists: Iterable[list[str | AnyOfVariables]]) -> tuple[EnvironmentNeed, ...]:
    found = (frozenset(one.any_of) if isinstance(one, AnyOfVariables) else frozenset({one}) for one in _flat(lists))
    return tuple(dict.fromkeys(found))


def _flat(lists: Iterable[list[str | AnyOfVariables]]) -> Iterator[str | AnyOfVariables]:
    for some in lists:
        yield from some


def _without_nothing(said: Any) -> Any:  # noqa: ANN401 - somebody else's YAML or JSON
    """A key without a value is as good as none."""
    match said:
        case dict():
            return {key: _without_nothing(value) for key, value in said.items() if value is not None}
        case list():
            return [_without_nothing(value) for value in said]
        case _:
            return said
