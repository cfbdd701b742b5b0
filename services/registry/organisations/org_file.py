"""The format of org.yaml: parses an organisation and builds the drafts of its workspaces."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.registry.errors.orgs import InvalidOrgTemplate
from services.registry.templates.config_file import (
    MAX_PROMPT_CHARS,
    Coordinate,
    DeclaredSchedule,
    PromptText,
    ShortText,
    build_schedules,
    describe_fault,
    drop_nulls,
)
from services.registry.workspace.model import Brief
from services.registry.workspace.validation import MAX_DIRECTORY_BYTES, MAX_NAME_BYTES, WorkspaceDraft

DEFAULT_TIER = 2
"""The tier of a workspace if neither the file nor the template of the workspace names one."""

MAX_WORKSPACES_PER_ORG = 1000

VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
"""The form of the names of environment variables."""

EnvironmentNeed = frozenset[str]
"""Names of environment variables of which at least one must be set."""


def _check_variable_name(name: str) -> str:
    if not VARIABLE_NAME.fullmatch(name):
        raise ValueError("not the name of an environment variable")
    return name


class _OrgFileModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


VariableName = Annotated[str, AfterValidator(_check_variable_name)]


class AnyOfVariables(_OrgFileModel):
    """Environment variables of which one is enough."""

    any_of: Annotated[list[VariableName], Field(min_length=1, max_length=50)]


DeclaredNeeds = Annotated[list[VariableName | AnyOfVariables], Field(max_length=200)]


class _OrgFilePosition(_OrgFileModel):
    x: Coordinate = 0
    y: Coordinate = 0


class OrgDefaults(_OrgFileModel):
    """Values for every workspace of the organisation for which neither its node nor its template has one."""

    template: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    runtime: ShortText = ""
    model: ShortText = ""
    tier: Annotated[int, Field(ge=1, le=4)] | None = None
    delivery_mode: ShortText = ""
    max_concurrent_tasks: Annotated[int, Field(ge=0, lt=2**31)] = 0
    hibernation_idle_minutes: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    budget_limit: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    initial_prompt: PromptText = ""
    idle_prompt: PromptText = ""
    plugins: Annotated[list[ShortText], Field(max_length=200)] = []
    required_env: DeclaredNeeds = []
    recommended_env: DeclaredNeeds = []


class OrgNode(OrgDefaults):
    """A workspace as the file declares it, with its children."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
    role: str = ""
    external: bool = False
    url: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    workspace_dir: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    workspace_access: ShortText = ""
    secrets: Annotated[dict[str, str], Field(max_length=500, repr=False)] = {}
    canvas: _OrgFilePosition = _OrgFilePosition()
    system_prompt: PromptText = ""
    files_dir: Annotated[str, Field(max_length=MAX_DIRECTORY_BYTES)] = ""
    schedules: Annotated[list[DeclaredSchedule], Field(max_length=200)] = []
    children: Annotated[list["OrgNode"], Field(max_length=MAX_WORKSPACES_PER_ORG)] = []


class _OrgFile(_OrgFileModel):
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
    description: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ""
    defaults: OrgDefaults = OrgDefaults()
    required_env: DeclaredNeeds = []
    recommended_env: DeclaredNeeds = []
    workspaces: Annotated[list[OrgNode], Field(min_length=1, max_length=MAX_WORKSPACES_PER_ORG)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedNode:
    """A node with its path in the file, as in `workspaces.0.children.1`, and the index of its parent in the list."""

    path: str
    node: OrgNode
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """A parsed organisation. `nodes` are listed depth first, so that each comes after its parent."""

    name: str
    description: str
    defaults: OrgDefaults
    nodes: tuple[ListedNode, ...]
    required: tuple[EnvironmentNeed, ...]
    recommended: tuple[EnvironmentNeed, ...]


def parse_organisation(content: Any) -> Organisation:  # noqa: ANN401 - parsed YAML or JSON
    """Return the organisation that a file declares; raises `InvalidOrgTemplate` with the path of the wrong value."""
    try:
        declared = _OrgFile.model_validate(drop_nulls(content))
    except ValidationError as error:
        raise InvalidOrgTemplate(describe_fault(error)) from None
    except RecursionError:
        raise InvalidOrgTemplate("nested too deeply") from None
    listed = tuple(_list_nodes(declared.workspaces))
    if len(listed) > MAX_WORKSPACES_PER_ORG:
        raise InvalidOrgTemplate(f"workspaces: more than {MAX_WORKSPACES_PER_ORG}")
    levels = [declared.defaults, *(one.node for one in listed)]
    return Organisation(
        name=declared.name,
        description=declared.description,
        defaults=declared.defaults,
        nodes=listed,
        required=_merge_needs([declared.required_env, *(level.required_env for level in levels)]),
        recommended=_merge_needs([declared.recommended_env, *(level.recommended_env for level in levels)]),
    )


def build_draft(node: OrgNode, defaults: OrgDefaults) -> WorkspaceDraft:
    """Return the draft of a node, without the runtime, model and tier of its template and of the defaults."""
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


def build_brief(node: OrgNode, defaults: OrgDefaults, template: Brief) -> Brief:
    """Return the briefing of the agent: from the node, else from its template, else from the defaults."""
    return Brief(
        initial_prompt=node.initial_prompt or template.initial_prompt or defaults.initial_prompt,
        idle_prompt=node.idle_prompt or template.idle_prompt or defaults.idle_prompt,
        schedules=build_schedules(node.schedules) or template.schedules,
        plugins=tuple(node.plugins or template.plugins or defaults.plugins),
    )


def find_missing(needs: Iterable[EnvironmentNeed], available: frozenset[str]) -> list[str | dict[str, list[str]]]:
    """Return the needs that no available variable meets, in the form of `render_needs`."""
    return render_needs(need for need in needs if not need & available)


def render_needs(needs: Iterable[EnvironmentNeed]) -> list[str | dict[str, list[str]]]:
    """Return needs in the form of the REST contract: a name, or `any_of` several names."""
    return [min(need) if len(need) == 1 else {"any_of": sorted(need)} for need in needs]


def _list_nodes(roots: list[OrgNode]) -> Iterator[ListedNode]:
    count = 0

    def walk(nodes: list[OrgNode], path: str, parent: int | None) -> Iterator[ListedNode]:
        nonlocal count
        names: set[str] = set()
        for number, node in enumerate(nodes):
            node_path = f"{path}.{number}"
            if node.name in names:
                raise InvalidOrgTemplate(f"{node_path}.name: two workspaces below one have this name")
            names.add(node.name)
            index = count
            count += 1
            yield ListedNode(path=node_path, node=node, parent=parent)
            yield from walk(node.children, f"{node_path}.children", index)

    yield from walk(roots, "workspaces", None)


def _merge_needs(lists: Iterable[list[str | AnyOfVariables]]) -> tuple[EnvironmentNeed, ...]:
    """Return the needs of all lists, each once, in the order of their first occurrence."""
    needs = (
        frozenset(need.any_of) if isinstance(need, AnyOfVariables) else frozenset({need})
        for need in chain.from_iterable(lists)
    )
    return tuple(dict.fromkeys(needs))
