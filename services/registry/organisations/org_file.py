"""An organisation as a file declares it: what it may say, and what is to be made of it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.registry.errors.orgs import InvalidOrgTemplate
from services.registry.templates.config_file import TEXT, Timetable, complaint, schedules_of
from services.registry.workspace.model import Brief
from services.registry.workspace.validation import MAX_CODE_BYTES, MAX_DIRECTORY_BYTES, MAX_NAME_BYTES, WorkspaceDraft

DEFAULT_TIER = 2
"""The tier of workspaces for which neither the file nor their template names one."""

MOST = 1000
"""Workspaces of one organisation."""

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
"""Names of the environment."""

Need = frozenset[str]
"""Variables of which one has to be there."""


def _variable(name: str) -> str:
    if not VARIABLE.fullmatch(name):
        raise ValueError("not the name of an environment variable")
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Variable = Annotated[str, AfterValidator(_variable)]
Code = Annotated[str, Field(max_length=MAX_CODE_BYTES)]
Coordinate = Annotated[float, Field(ge=-1e12, le=1e12)]
Prompt = Annotated[str, Field(max_length=TEXT)]


class AnyOf(_Strict):
    """Variables of which one is enough."""

    any_of: Annotated[list[Variable], Field(min_length=1, max_length=50)]


Needs = Annotated[list[Variable | AnyOf], Field(max_length=200)]


class _Place(_Strict):
    x: Coordinate = 0
    y: Coordinate = 0


class Defaults(_Strict):
    """What holds for every workspace of the organisation that does not say otherwise, nor does its template."""

    template: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
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
    required_env: Needs = []
    recommended_env: Needs = []


class Node(Defaults):
    """A workspace, and those below it."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
    role: str = ""
    external: bool = False
    url: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    workspace_dir: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    workspace_access: Code = ""
    secrets: Annotated[dict[str, str], Field(max_length=500, repr=False)] = {}
    canvas: _Place = _Place()
    system_prompt: Prompt = ""
    files_dir: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    schedules: Annotated[list[Timetable], Field(max_length=200)] = []
    children: Annotated[list["Node"], Field(max_length=MOST)] = []


class _Org(_Strict):
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
    description: Annotated[str, Field(max_length=TEXT)] = ""
    defaults: Defaults = Defaults()
    required_env: Needs = []
    recommended_env: Needs = []
    workspaces: Annotated[list[Node], Field(min_length=1, max_length=MOST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A workspace of the plan. `path` is where the file says so; `parent` the place of the one above it."""

    path: str
    node: Node
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """What a file declares. The workspaces come depth first, each after the one above it."""

    name: str
    description: str
    defaults: Defaults
    planned: tuple[Planned, ...]
    required: tuple[Need, ...]
    recommended: tuple[Need, ...]


def org(said: Any) -> Org:  # noqa: ANN401 - somebody else's YAML or JSON
    """What a file declares; raises `InvalidOrgTemplate` that says where it is wrong."""
    try:
        read = _Org.model_validate(_without_nothing(said))
    except ValidationError as error:
        raise InvalidOrgTemplate(complaint(error)) from None
    except RecursionError:
        raise InvalidOrgTemplate("nested too deeply") from None
    planned = tuple(_planned(read.workspaces))
    if len(planned) > MOST:
        raise InvalidOrgTemplate(f"workspaces: more than {MOST}")
    nodes = [read.defaults, *(one.node for one in planned)]
    return Org(
        name=read.name,
        description=read.description,
        defaults=read.defaults,
        planned=planned,
        required=_needs([read.required_env, *(node.required_env for node in nodes)]),
        recommended=_needs([read.recommended_env, *(node.recommended_env for node in nodes)]),
    )


def draft_of(node: Node, defaults: Defaults) -> WorkspaceDraft:
    """The workspace as the file wants it, before its template and the defaults are asked."""
    return WorkspaceDraft(
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


def brief_of(node: Node, defaults: Defaults, template: Brief) -> Brief:
    """What its agent is to be told: what the node says, else its template, else the defaults."""
    return Brief(
        initial_prompt=node.initial_prompt or template.initial_prompt or defaults.initial_prompt,
        idle_prompt=node.idle_prompt or template.idle_prompt or defaults.idle_prompt,
        schedules=schedules_of(node.schedules) or template.schedules,
        plugins=tuple(node.plugins or template.plugins or defaults.plugins),
    )


def missing(needs: Iterable[Need], there: frozenset[str]) -> list[str | dict[str, list[str]]]:
    """The needs that nothing there satisfies, as the public contract writes them."""
    return written(need for need in needs if not need & there)


def written(needs: Iterable[Need]) -> list[str | dict[str, list[str]]]:
    """Needs as the public contract writes them: a name, or several of which one is enough."""
    return [min(need) if len(need) == 1 else {"any_of": sorted(need)} for need in needs]


def _planned(roots: list[Node]) -> Iterator[Planned]:
    count = 0

    def below(nodes: list[Node], path: str, parent: int | None) -> Iterator[Planned]:
        nonlocal count
        names: set[str] = set()
        for number, node in enumerate(nodes):
            here = f"{path}.{number}"
            if node.name in names:
                raise InvalidOrgTemplate(f"{here}.name: two workspaces below one have this name")
            names.add(node.name)
            place = count
            count += 1
            yield Planned(path=here, node=node, parent=parent)
            yield from below(node.children, f"{here}.children", place)

    yield from below(roots, "workspaces", None)


def _needs(lists: Iterable[list[str | AnyOf]]) -> tuple[Need, ...]:
    found = (frozenset(one.any_of) if isinstance(one, AnyOf) else frozenset({one}) for one in _flat(lists))
    return tuple(dict.fromkeys(found))


def _flat(lists: Iterable[list[str | AnyOf]]) -> Iterator[str | AnyOf]:
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
