"""Bundles: a workspace and its descendants as one file."""

from typing import NotRequired

from typing_extensions import TypedDict

from gateway.schemas.names import WorkspaceStatusName
from gateway.schemas.request_model import RequestModel
from protos.registry.v1 import bundles_pb2


class BundleImport(RequestModel, title="Bundle", extra="allow"):
    """Body of POST /bundles/import: an object, judged by the registry."""


class BundleMember(TypedDict):
    """Answer of POST /bundles/import: a workspace that was made."""

    workspace_id: str
    name: str
    status: WorkspaceStatusName
    children: NotRequired[list["BundleMember"]]


def render_bundle_member(message: bundles_pb2.BundleMember) -> BundleMember:
    """Return an imported workspace, with those below it."""
    rendered = BundleMember(workspace_id=message.workspace_id, name=message.name, status=message.status)
    if message.children:
        rendered["children"] = [render_bundle_member(child) for child in message.children]
    return rendered
