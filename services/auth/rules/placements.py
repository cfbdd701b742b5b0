"""Decides whether a workspace or an organisation may receive tokens and secrets."""

from services.auth.errors import WorkspaceBarred, WorkspaceUnknown
from services.auth.model.placements import Placement


def require_active(placement: Placement | None) -> Placement:
    """Return the placement of a known workspace that is not barred; raises `WorkspaceUnknown` or `WorkspaceBarred`."""
    if placement is None:
        raise WorkspaceUnknown
    if placement.barred_at is not None:
        raise WorkspaceBarred
    return placement


def is_live_root(placement: Placement | None) -> bool:
    """Whether this is the root of an organisation, and not barred."""
    return placement is not None and placement.barred_at is None and placement.org_id == placement.workspace_id
