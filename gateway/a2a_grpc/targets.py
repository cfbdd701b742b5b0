"""Reads which workspace a request is for: gRPC has no path below the address of the plane. Pure."""

from dataclasses import dataclass

from gateway.message_request import WORKSPACE_ID_PATTERN
from molecule_a2a.errors import INVALID_PARAMS, ConversionFailed

HOW_TO_NAME = (
    "name the workspace: set tenant to its id, or to its id, a slash and the tenant of the agent, as the agent card "
    "says; or send its id as the metadata x-molecule-workspace"
)
"""What a client is told whose request names no workspace."""


@dataclass(frozen=True, slots=True)
class RpcTarget:
    """The workspace of a request, and the tenant for its agent."""

    workspace_id: str
    tenant: str
    """Empty for none."""


def read_target(tenant: str, workspace: str) -> RpcTarget:
    """Return the target of a request with the given tenant and metadata; raises `ConversionFailed`.

    A tenant that begins with the id of a workspace counts before the metadata. Any other tenant is the agent's.
    """
    target = cut_target(tenant)
    if target is not None:
        return target
    stated = workspace.strip().lower()
    if not WORKSPACE_ID_PATTERN.fullmatch(stated):
        raise ConversionFailed(INVALID_PARAMS, HOW_TO_NAME)
    return RpcTarget(stated, tenant)


def cut_target(tenant: str) -> RpcTarget | None:
    """Return what a tenant names if it begins with the id of a workspace."""
    first, _, rest = tenant.partition("/")
    workspace_id = first.lower()
    return RpcTarget(workspace_id, rest) if WORKSPACE_ID_PATTERN.fullmatch(workspace_id) else None
