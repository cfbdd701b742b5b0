"""Organisations: templates, imports and teams."""

from collections.abc import Iterable
from typing import Any, Literal

from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel
from protos.registry.v1 import templates_pb2


class OrgImport(RequestModel):
    """Body of POST /org/import: a directory, or what a file says."""

    dir: str = ""
    template: dict[str, Any] | None = None
    dry_run: bool = False


class CollapseOptions(RequestModel, title="Collapse"):
    """Body of POST /workspaces/{id}/collapse."""

    dry_run: bool = False


class TeamMember(TypedDict):
    """A workspace of a team."""

    id: str
    name: str
    role: str | None


class ExpansionResult(TypedDict):
    """Answer of an expansion."""

    status: Literal["expanded"]
    children: list[TeamMember]


class CollapseResult(TypedDict):
    """Answer of a collapse."""

    status: Literal["collapsed", "unchanged"]
    removed: list[str]


EnvironmentNeed = str | dict[str, list[str]]
"""A variable, or several of which one is enough."""


class OrgMember(TypedDict):
    """A workspace of an import."""

    id: str
    name: str
    tier: int


class ImportedOrg(TypedDict):
    """Answer of POST /org/import."""

    org: str
    count: int
    workspaces: list[OrgMember]


class PlannedMember(TypedDict):
    """A workspace that an import would make."""

    name: str
    tier: int
    runtime: str
    parent: str | None


class PlannedOrg(TypedDict):
    """The same, where nothing was to be made."""

    org: str
    count: int
    workspaces: list[PlannedMember]
    dry_run: bool
    unset_recommended_env: list[EnvironmentNeed]


class OrgTemplate(TypedDict):
    """An organisation that could be imported."""

    dir: str
    name: str
    description: str
    workspaces: int
    required_env: list[EnvironmentNeed]
    recommended_env: list[EnvironmentNeed]


def render_org_template(message: templates_pb2.OrgTemplate) -> OrgTemplate:
    """Return an org template as the list shows it."""
    return OrgTemplate(
        dir=message.dir,
        name=message.name,
        description=message.description,
        workspaces=message.workspaces,
        required_env=_render_needs(message.required_env),
        recommended_env=_render_needs(message.recommended_env),
    )


def render_imported_org(message: templates_pb2.ImportOrgResponse) -> ImportedOrg:
    """Return the result of an import."""
    members = [OrgMember(id=member.id, name=member.name, tier=member.tier) for member in message.members]
    return ImportedOrg(org=message.org, count=len(members), workspaces=members)


def render_planned_org(message: templates_pb2.ImportOrgResponse) -> PlannedOrg:
    """Return the result of a dry run: what an import would create."""
    members = [
        PlannedMember(
            name=member.name,
            tier=member.tier,
            runtime=member.runtime,
            parent=message.members[member.parent].name if member.HasField("parent") else None,
        )
        for member in message.members
    ]
    return PlannedOrg(
        org=message.org,
        count=len(members),
        workspaces=members,
        dry_run=True,
        unset_recommended_env=_render_needs(message.unset_env),
    )


def _render_needs(messages: Iterable[templates_pb2.EnvironmentNeed]) -> list[EnvironmentNeed]:
    return [need.any_of[0] if len(need.any_of) == 1 else {"any_of": list(need.any_of)} for need in messages]
