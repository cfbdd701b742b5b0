"""Circles: to whom news of a workspace is told, and what a workspace listens to (docs/spec/rest.md, 8.3).

A circle is a name. News reaches a listener where both know one in common, which is so exactly where
`hierarchy.allowed` lets the two communicate. So a workspace is known by a handful of names, however many there are to
hear of it, and a move in the tree changes the names of what has moved and of nothing else.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.registry.workspace.hierarchy import MAX_ANCESTOR_DISTANCE, Lineage
from services.registry.workspace.model import WorkspaceId

EVERYTHING = "everything"
"""The circle to which all news is told."""

Audiences = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TreePosition:
    """Where a workspace stands in the tree."""

    workspace_id: WorkspaceId
    parent_id: WorkspaceId | None
    org_id: WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceAudiences:
    """Where news of a workspace is told from now on, and what it listens to; nothing of both where it is no more."""

    workspace_id: WorkspaceId
    published_to: Audiences = ()
    subscribed_to: Audiences = ()


def name_org_audience(org_id: str) -> str:
    """The circle of an organisation."""
    return f"org:{org_id}"


def name_workspace_audience(workspace_id: str) -> str:
    """The circle of exactly one workspace."""
    return f"one:{workspace_id}"


def find_publish_audiences(lineage: Lineage, org_id: str) -> Audiences:
    """To whom news of the first of `lineage` is told."""
    above = lineage[1 : MAX_ANCESTOR_DISTANCE + 1]
    return (
        *find_purged_publish_audiences(lineage[0], org_id),
        _name_sibling_audience(lineage),
        *(f"below:{ancestor}" for ancestor in above),
    )


def find_purged_publish_audiences(workspace_id: str, org_id: str) -> Audiences:
    """The same of a workspace that has no place in the tree any more."""
    return EVERYTHING, name_org_audience(org_id), name_workspace_audience(workspace_id)


def find_subscribe_audiences(lineage: Lineage) -> Audiences:
    """What the first of `lineage` listens to."""
    above = lineage[1 : MAX_ANCESTOR_DISTANCE + 1]
    return (
        _name_sibling_audience(lineage),
        f"below:{lineage[0]}",
        *(name_workspace_audience(ancestor) for ancestor in above),
    )


class AudienceTree:
    """Where every workspace stands, in memory."""

    def __init__(self) -> None:
        self._positions: dict[WorkspaceId, TreePosition] = {}
        self._children: dict[WorkspaceId, set[WorkspaceId]] = {}

    def __iter__(self) -> Iterator[WorkspaceId]:
        return iter(self._positions)

    def place(self, spot: TreePosition) -> Iterable[WorkspaceId]:
        """Take note of where a workspace stands now; those whose circles are others than before."""
        known = self._positions.get(spot.workspace_id)
        if known == spot:
            return ()
        self.remove(spot.workspace_id)
        self._positions[spot.workspace_id] = spot
        if spot.parent_id is not None:
            self._children.setdefault(spot.parent_id, set()).add(spot.workspace_id)
        return tuple(self._iterate_subtree(spot.workspace_id))

    def remove(self, workspace_id: WorkspaceId) -> None:
        """Forget a workspace."""
        known = self._positions.pop(workspace_id, None)
        if known is None or known.parent_id is None:
            return
        siblings = self._children[known.parent_id]
        siblings.discard(workspace_id)
        if not siblings:
            del self._children[known.parent_id]

    def find_publish_audiences(self, workspace_id: WorkspaceId) -> Audiences:
        """To whom its news is told; nobody where it is unknown."""
        spot = self._positions.get(workspace_id)
        return () if spot is None else find_publish_audiences(self._get_lineage(spot), spot.org_id)

    def find_subscribe_audiences(self, workspace_id: WorkspaceId) -> Audiences:
        """What it listens to; nothing where it is unknown."""
        spot = self._positions.get(workspace_id)
        return () if spot is None else find_subscribe_audiences(self._get_lineage(spot))

    def _get_lineage(self, spot: TreePosition) -> Lineage:
        """The workspace and those above it, as far as they may matter."""
        found = [spot.workspace_id]
        while spot.parent_id is not None and len(found) <= MAX_ANCESTOR_DISTANCE:
            found.append(spot.parent_id)
            above = self._positions.get(spot.parent_id)
            if above is None:
                break
            spot = above
        return found

    def _iterate_subtree(self, workspace_id: WorkspaceId) -> Iterator[WorkspaceId]:
        waiting = [workspace_id]
        while waiting:
            found = waiting.pop()
            if found in self._positions:
                yield found
            waiting.extend(self._children.get(found, ()))


def _name_sibling_audience(lineage: Lineage) -> str:
    """The circle of those with the same parent; roots have none in common, and that is what they share."""
    return f"beside:{''.join(lineage[1:2])}"
