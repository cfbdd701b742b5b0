"""Rules of the organisation tree: which workspaces may communicate, which are visible, and what is a cycle.

A lineage is a workspace and its ancestors, the nearest first: `(id, parent, ..., root)`.
"""

from collections.abc import Sequence

from services.registry.errors.workspaces import ParentNotFound
from services.registry.workspace.model import Status, Workspace, WorkspaceId

MAX_ANCESTOR_DISTANCE = 32
"""How many levels above a workspace an ancestor may be for the two to communicate."""

Lineage = Sequence[WorkspaceId]


def may_communicate(one: Lineage, other: Lineage) -> bool:
    """Whether two workspaces may communicate (docs/spec/rest.md, 5.1); an empty lineage is an unknown workspace."""
    if not one or not other:
        return False
    if one[0] == other[0]:
        return True
    return (
        _are_siblings(one, other)
        or one[0] in other[1 : MAX_ANCESTOR_DISTANCE + 1]
        or other[0] in one[1 : MAX_ANCESTOR_DISTANCE + 1]
    )


def may_see(viewer: Lineage, target: Lineage) -> bool:
    """Whether a workspace may see another: one of its organisation, or one it may communicate with."""
    if not viewer or not target:
        return False
    return viewer[-1] == target[-1] or may_communicate(viewer, target)


def is_cycle(workspace_id: WorkspaceId, parent: Lineage) -> bool:
    """Whether a workspace would be its own ancestor if its parent were the first of `parent`."""
    return workspace_id in parent


def require_open_parent(parent: Workspace | None) -> Workspace:
    """Return the parent if it can have children; raises `ParentNotFound` if it is unknown, removed or being removed."""
    if parent is None or parent.status is Status.REMOVED or parent.removal_wanted_at is not None:
        raise ParentNotFound
    return parent


def _are_siblings(one: Lineage, other: Lineage) -> bool:
    """Whether the two have one parent, or are both roots."""
    return one[1:2] == other[1:2]
