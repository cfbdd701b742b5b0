"""Whether tokens may be issued: for a workspace, or for an organisation."""

from services.auth.errors import WorkspaceBarred, WorkspaceUnknown
from services.auth.model import Placement


def require_active(placement: Placement | None) -> Placement:
    """The placement, if tokens may be issued for it; raises `WorkspaceUnknown` or `WorkspaceBarred`."""
    if placement is None:
        raise WorkspaceUnknown
    if placement.barred_at is not None:
        raise WorkspaceBarred
    return placement


def is_live_root(placement: Placement | None) -> bool:
    """Whether this is the root of an organisation that has not been removed."""
    return placement is not None and placement.barred_at is None and placement.org_id == placement.workspace_id
