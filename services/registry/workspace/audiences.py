"""Audiences: the names under which events of a workspace are published and subscribed to (docs/spec/rest.md, 8.3).

An event is *published* to the audiences that receive all of it: the operator, the organisation, the workspace itself.
It is *announced* to those that receive it without the content of messages and logs: the workspaces of its organisation
with which it may communicate (`hierarchy.may_communicate`). A workspace has a handful of audiences, however many
subscribers there are, and a move in the tree changes the audiences of the moved subtree only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.registry.workspace.hierarchy import MAX_ANCESTOR_DISTANCE, Lineage
from services.registry.workspace.model import WorkspaceId

EVERYTHING = "everything"
"""The audience of every event of every organisation."""

Audiences = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TreePosition:
    """The position of a workspace in the tree."""

    workspace_id: WorkspaceId
    parent_id: WorkspaceId | None
    org_id: WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceAudiences:
    """The audiences of one workspace; all are empty after it was purged."""

    workspace_id: WorkspaceId
    published_to: Audiences = ()
    announced_to: Audiences = ()
    subscribed_to: Audiences = ()


def name_org_audience(org_id: str) -> str:
    """Return the audience of an organisation."""
    return f"org:{org_id}"


def name_workspace_audience(workspace_id: str) -> str:
    """Return the audience of exactly one workspace."""
    return f"one:{workspace_id}"


def find_publish_audiences(workspace_id: str, org_id: str) -> Audiences:
    """Return the audiences that receive events of a workspace with their content."""
    return EVERYTHING, name_org_audience(org_id), name_workspace_audience(workspace_id)


def find_announce_audiences(lineage: Lineage) -> Audiences:
    """Return the audiences that receive events of the first workspace of `lineage` without their content."""
    above = lineage[1 : MAX_ANCESTOR_DISTANCE + 1]
    return (
        *_name_sibling_audiences(lineage),
        f"ancestor:{lineage[0]}",
        *(f"below:{ancestor}" for ancestor in above),
    )


def find_subscribe_audiences(lineage: Lineage) -> Audiences:
    """Return the audiences to which the first workspace of `lineage` subscribes."""
    above = lineage[1 : MAX_ANCESTOR_DISTANCE + 1]
    return (
        name_workspace_audience(lineage[0]),
        *_name_sibling_audiences(lineage),
        f"below:{lineage[0]}",
        *(f"ancestor:{ancestor}" for ancestor in above),
    )


class AudienceTree:
    """Keeps the position of every workspace in memory."""

    def __init__(self) -> None:
        self._positions: dict[WorkspaceId, TreePosition] = {}
        self._children: dict[WorkspaceId, set[WorkspaceId]] = {}

    def __iter__(self) -> Iterator[WorkspaceId]:
        return iter(self._positions)

    def place(self, position: TreePosition) -> Iterable[WorkspaceId]:
        """Record the position of a workspace; return the ids of the workspaces whose audiences may have changed."""
        known = self._positions.get(position.workspace_id)
        if known == position:
            return ()
        self.remove(position.workspace_id)
        self._positions[position.workspace_id] = position
        if position.parent_id is not None:
            self._children.setdefault(position.parent_id, set()).add(position.workspace_id)
        return tuple(self._iterate_subtree(position.workspace_id))

    def remove(self, workspace_id: WorkspaceId) -> None:
        """Remove a workspace."""
        known = self._positions.pop(workspace_id, None)
        if known is None or known.parent_id is None:
            return
        siblings = self._children[known.parent_id]
        siblings.discard(workspace_id)
        if not siblings:
            del self._children[known.parent_id]

    def find_audiences(self, workspace_id: WorkspaceId) -> WorkspaceAudiences:
        """Return the audiences of a workspace; none for an unknown one."""
        position = self._positions.get(workspace_id)
        if position is None:
            return WorkspaceAudiences(workspace_id=workspace_id)
        lineage = self._get_lineage(position)
        return WorkspaceAudiences(
            workspace_id=workspace_id,
            published_to=find_publish_audiences(workspace_id, position.org_id),
            announced_to=find_announce_audiences(lineage),
            subscribed_to=find_subscribe_audiences(lineage),
        )

    def _get_lineage(self, position: TreePosition) -> Lineage:
        """Return the workspace and its ancestors, up to `MAX_ANCESTOR_DISTANCE` levels."""
        found = [position.workspace_id]
        while position.parent_id is not None and len(found) <= MAX_ANCESTOR_DISTANCE:
            found.append(position.parent_id)
            above = self._positions.get(position.parent_id)
            if above is None:
                break
            position = above
        return found

    def _iterate_subtree(self, workspace_id: WorkspaceId) -> Iterator[WorkspaceId]:
        pending = [workspace_id]
        while pending:
            found = pending.pop()
            if found in self._positions:
                yield found
            pending.extend(self._children.get(found, ()))


def _name_sibling_audiences(lineage: Lineage) -> Audiences:
    """Return the audience of a workspace and its siblings; a root has none, because no event leaves an organisation."""
    return tuple(f"beside:{parent}" for parent in lineage[1:2])
