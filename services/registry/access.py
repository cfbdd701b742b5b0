"""What a caller may see and touch, and what is called after it."""

from uuid import NAMESPACE_URL, uuid4, uuid5

from services.chassis.identity import Identity, Kind
from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceNotFound, WorkspaceRemoved
from services.registry.store.transaction import Transaction
from services.registry.workspace import hierarchy
from services.registry.workspace.model import Status, Workspace, WorkspaceId

ADMIN_SCOPE = "admin"
"""The scope of an organisation token that opens the admin gate within its organisation."""


def has_admin_rights(caller: Identity) -> bool:
    """Whether the caller would pass the admin gate."""
    return caller.kind in {Kind.ADMIN, Kind.ANONYMOUS} or (caller.kind is Kind.ORG and ADMIN_SCOPE in caller.scopes)


def get_org_filter(caller: Identity) -> str | None:
    """The organisation that lists are limited to."""
    return caller.org_id if caller.kind is Kind.ORG else None


def derive_id(caller: Identity, request_id: str, place: int = 0) -> str:
    """The id of what a request makes: the same for the same caller's same request, a new one for a nameless request.

    `place` tells apart what one request makes many of.
    """
    if not request_id:
        return str(uuid4())
    name = f"molecule:{caller.kind}:{caller.name}:{request_id}"
    return str(uuid5(NAMESPACE_URL, f"{name}:{place}" if place else name))


def check_org(caller: Identity, workspace: Workspace | None) -> None:
    """An organisation token ends at its organisation; what does not exist lies outside of it too."""
    if caller.kind is Kind.ORG and (workspace is None or workspace.org_id != caller.org_id):
        raise OrgAccessDenied


async def require_access(
    tx: Transaction, caller: Identity, workspace_id: WorkspaceId, *, lock: bool = False
) -> Workspace:
    """The workspace, if the caller may touch it; raises `OrgAccessDenied` or `WorkspaceNotFound`."""
    workspace = await tx.find(workspace_id, lock=lock)
    check_org(caller, workspace)
    if workspace is None:
        raise WorkspaceNotFound
    return workspace


async def require_writable(tx: Transaction, caller: Identity, workspace_id: WorkspaceId) -> Workspace:
    """The workspace, locked, if the caller may write something down for it; raises `WorkspaceRemoved` besides.

    Under the lock no purge overtakes what is written, and what is counted stays as it was counted.
    """
    workspace = await require_access(tx, caller, workspace_id, lock=True)
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    return workspace


async def find_listable(tx: Transaction, caller: Identity, workspace_id: WorkspaceId) -> Workspace | None:
    """The workspace whose notes the caller lists; `None` where it is unknown or removed, and the list empty."""
    workspace = await tx.find(workspace_id)
    check_org(caller, workspace)
    return None if workspace is None or workspace.status is Status.REMOVED else workspace


async def may_see(tx: Transaction, caller: Identity, workspace: Workspace) -> bool:
    """Whether the caller may know of the workspace at all."""
    match caller.kind:
        case Kind.ADMIN | Kind.ANONYMOUS | Kind.SERVICE:
            return True
        case Kind.ORG:
            return workspace.org_id == caller.org_id
        case Kind.WORKSPACE:
            viewer = await tx.tree.get_lineage(WorkspaceId(caller.name))
            return hierarchy.may_see(viewer, await tx.tree.get_lineage(workspace.id))
