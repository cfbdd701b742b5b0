"""Decides whether a caller may see the instance of a workspace."""

from services.chassis.identity import Identity, Kind
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import OrgAccessDenied, WorkspaceNotFound
from services.provisioner.model import WorkspaceId


async def check_access(registry: RegistryClient, caller: Identity, workspace_id: WorkspaceId) -> None:
    """Raise `OrgAccessDenied` for an organisation token outside its organisation, else `WorkspaceNotFound`.

    For an organisation token an unknown workspace is denied, too: the token must not reveal which ids exist. A removed
    workspace counts as unknown.
    """
    org_id = await registry.find_org_id(workspace_id)
    if caller.kind is Kind.ORG and (not caller.org_id or org_id != caller.org_id):
        raise OrgAccessDenied
    if org_id is None:
        raise WorkspaceNotFound
