"""Decides which workspaces a caller may see and change."""

from uuid import NAMESPACE_URL, uuid4, uuid5

from services.chassis.identity import Identity, Kind
from services.registry.errors.workspaces import (
    OrgAccessDenied,
    OtherWorkspace,
    StaleToken,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.store.transaction import Transaction
from services.registry.workspace import hierarchy
from services.registry.workspace.model import Status, Workspace, WorkspaceId

ADMIN_SCOPE = "admin"
"""The scope with which an organisation token passes the admin gate within its organisation."""


def has_admin_rights(caller: Identity) -> bool:
    """Whether the caller passes the admin gate."""
    return caller.kind in {Kind.ADMIN, Kind.ANONYMOUS} or (caller.kind is Kind.ORG and ADMIN_SCOPE in caller.scopes)


def get_org_filter(caller: Identity) -> str | None:
    """Return the organisation to which lists are limited; `None` for no limit."""
    return caller.org_id if caller.kind is Kind.ORG else None


def derive_id(caller: Identity, request_id: str, place: int = 0) -> str:
    """Return the id of what a request creates: random without a `request_id`, otherwise derived from it and the caller.

    A repeated request so creates nothing new. `place` numbers the workspaces that one request creates.
    """
    if not request_id:
        return str(uuid4())
    name = f"molecule:{caller.kind}:{caller.name}:{request_id}"
    return str(uuid5(NAMESPACE_URL, f"{name}:{place}" if place else name))


def check_org(caller: Identity, workspace: Workspace | None) -> None:
    """Raise `OrgAccessDenied` if an organisation token is used for an unknown or a foreign workspace."""
    if caller.kind is Kind.ORG and (workspace is None or workspace.org_id != caller.org_id):
        raise OrgAccessDenied


def check_self(caller: Identity, workspace_id: WorkspaceId) -> None:
    """Raise `OtherWorkspace` for a workspace token that is used for another workspace."""
    if caller.kind is Kind.WORKSPACE and caller.name != workspace_id:
        raise OtherWorkspace


def check_generation(caller: Identity, workspace: Workspace) -> None:
    """Raise `StaleToken` for the token of a replaced instance, which auth may not have revoked yet."""
    if caller.generation not in {None, workspace.generation}:
        raise StaleToken


async def require_access(
    tx: Transaction, caller: Identity, workspace_id: WorkspaceId, *, lock: bool = False
) -> Workspace:
    """Return the workspace if the caller may access it; raises `OrgAccessDenied` or `WorkspaceNotFound`."""
    workspace = await tx.find(workspace_id, lock=lock)
    check_org(caller, workspace)
    if workspace is None:
        raise WorkspaceNotFound
    return workspace


async def require_writable(tx: Transaction, caller: Identity, workspace_id: WorkspaceId) -> Workspace:
    """Return the locked workspace if the caller may add records to it; raises also `WorkspaceRemoved`.

    The lock keeps a purge from missing the new records, and the count of records valid until the commit.
    """
    workspace = await require_access(tx, caller, workspace_id, lock=True)
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    return workspace


async def find_listable(tx: Transaction, caller: Identity, workspace_id: WorkspaceId) -> Workspace | None:
    """Return the workspace whose notes the caller lists; `None` if it is unknown or removed."""
    workspace = await tx.find(workspace_id)
    check_org(caller, workspace)
    return None if workspace is None or workspace.status is Status.REMOVED else workspace


async def may_see(tx: Transaction, caller: Identity, workspace: Workspace) -> bool:
    """Whether the caller may see the workspace."""
    match caller.kind:
        case Kind.ADMIN | Kind.ANONYMOUS | Kind.SERVICE:
            return True
        case Kind.ORG:
            return workspace.org_id == caller.org_id
        case Kind.WORKSPACE:
            viewer = await tx.tree.get_lineage(WorkspaceId(caller.name))
            return hierarchy.may_see(viewer, await tx.tree.get_lineage(workspace.id))
