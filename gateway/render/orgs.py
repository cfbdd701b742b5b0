"""Organisations and what is made of them, as the JSON that the REST contract promises."""

from collections.abc import Iterable
from typing import NotRequired

from typing_extensions import TypedDict

from protos.registry.v1 import bundles_pb2, templates_pb2

Need = str | dict[str, list[str]]
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
    unset_recommended_env: list[Need]


class BundleMember(TypedDict):
    """Answer of POST /bundles/import: a workspace that was made."""

    workspace_id: str
    name: str
    status: str
    children: NotRequired[list["BundleMember"]]


class OrgTemplate(TypedDict):
    """An organisation that could be imported."""

    dir: str
    name: str
    description: str
    workspaces: int
    required_env: list[Need]
    recommended_env: list[Need]


def org_template(message: templates_pb2.OrgTemplate) -> OrgTemplate:
    """One org template."""
    return OrgTemplate(
        dir=message.dir,
        name=message.name,
        description=message.description,
        workspaces=message.workspaces,
        required_env=_needs(message.required_env),
        recommended_env=_needs(message.recommended_env),
    )


def imported(message: templates_pb2.ImportOrgResponse) -> ImportedOrg:
    """What was made."""
    members = [OrgMember(id=member.id, name=member.name, tier=member.tier) for member in message.members]
    return ImportedOrg(org=message.org, count=len(members), workspaces=members)


def planned(message: templates_pb2.ImportOrgResponse) -> PlannedOrg:
    """What would be made."""
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
        unset_recommended_env=_needs(message.unset_env),
    )


def bundle_member(message: bundles_pb2.BundleMember) -> BundleMember:
    """A workspace that was made, and those below it."""
    told = BundleMember(workspace_id=message.workspace_id, name=message.name, status=message.status)
    if message.children:
        told["children"] = [bundle_member(child) for child in message.children]
    return told


def _needs(messages: Iterable[templates_pb2.EnvironmentNeed]) -> list[Need]:
    return [need.any_of[0] if len(need.any_of) == 1 else {"any_of": list(need.any_of)} for need in messages]
