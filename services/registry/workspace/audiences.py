"""Circles: to whom news of a workspace is told, and what a workspace listens to (docs/spec/rest.md, 8.3).

A circle is a name. News reaches a listener where both know one in common, which is so exactly where
`hierarchy.allowed` lets the two communicate. So a workspace is known by a handful of names, however many there are to
hear of it, and a move in the tree changes the names of what has moved and of nothing else.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.registry.workspace.hierarchy import REACH, Lineage
from services.registry.workspace.model import WorkspaceId

EVERYTHING = "everything"
"""The circle to which all news is told."""

Circles = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a workspace stands in the tree."""

    workspace_id: WorkspaceId
    parent_id: WorkspaceId | None
    org_id: WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where news of a workspace is told from now on, and what it listens to; nothing of both where it is no more."""

    workspace_id: WorkspaceId
    published_to: Circles = ()
    subscribed_to: Circles = ()


def of_org(org_id: str) -> str:
    """The circle of an organisation."""
    return f"org:{org_id}"


def of_one(workspace_id: str) -> str:
    """The circle of exactly one workspace."""
    return f"one:{workspace_id}"


def told(lineage: Lineage, org_id: str) -> Circles:
    """To whom news of the first of `lineage` is told."""
    above = lineage[1 : REACH + 1]
    return *told_of_the_gone(lineage[0], org_id), _beside(lineage), *(f"below:{ancestor}" for ancestor in above)


def told_of_the_gone(workspace_id: str, org_id: str) -> Circles:
    """The same of a workspace that has no place in the tree any more."""
    return EVERYTHING, of_org(org_id), of_one(workspace_id)


def heard(lineage: Lineage) -> Circles:
    """What the first of `lineage` listens to."""
    above = lineage[1 : REACH + 1]
    return _beside(lineage), f"below:{lineage[0]}", *(of_one(ancestor) for ancestor in above)


class Forest:
    """Where every workspace stands, in memory."""

    def __init__(self) -> None:
        self._spots: dict[WorkspaceId, Spot] = {}
        self._children: dict[WorkspaceId, set[WorkspaceId]] = {}

    def __iter__(self) -> Iterator[WorkspaceId]:
        return iter(self._spots)

    def put(self, spot: Spot) -> Iterable[WorkspaceId]:
        """Take note of where a workspace stands now; those whose circles are others than before."""
        known = self._spots.get(spot.workspace_id)
        if known == spot:
            return ()
        self.drop(spot.workspace_id)
        self._spots[spot.workspace_id] = spot
        if spot.parent_id is not None:
            self._children.setdefault(spot.parent_id, set()).add(spot.workspace_id)
        return tuple(self._with_all_below(spot.workspace_id))

    def drop(self, workspace_id: WorkspaceId) -> None:
        """Forget a workspace."""
        known = self._spots.pop(workspace_id, None)
        if known is None or known.parent_id is None:
            return
        siblings = self._children[known.parent_id]
        siblings.discard(workspace_id)
        if not siblings:
            del self._children[known.parent_id]

    def told(self, workspace_id: WorkspaceId) -> Circles:
        """To whom its news is told; nobody where it is unknown."""
        spot = self._spots.get(workspace_id)
        return () if spot is None else told(self._lineage(spot), spot.org_id)

    def heard(self, workspace_id: WorkspaceId) -> Circles:
        """What it listens to; nothing where it is unknown."""
        spot = self._spots.get(workspace_id)
        return () if spot is None else heard(self._lineage(spot))

    def _lineage(self, spot: Spot) -> Lineage:
        """The workspace and those above it, as far as they may matter."""
        found = [spot.workspace_id]
        while spot.parent_id is not None and len(found) <= REACH:
            found.append(spot.parent_id)
            above = self._spots.get(spot.parent_id)
            if above is None:
                break
            spot = above
        return found

    def _with_all_below(self, workspace_id: WorkspaceId) -> Iterator[WorkspaceId]:
        waiting = [workspace_id]
        while waiting:
            found = waiting.pop()
            if found in self._spots:
                yield found
            waiting.extend(self._children.get(found, ()))


def _beside(lineage: Lineage) -> str:
    """The circle of those with the same parent; roots have none in common, and that is what they share."""
    return f"beside:{''.join(lineage[1:2])}"
