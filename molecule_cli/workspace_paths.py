"""Finds workspaces by paths such as `org/name`, and builds the paths. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SEPARATOR = "/"


def find_by_path(workspaces: Sequence[Mapping[str, Any]], path: str) -> list[Mapping[str, Any]]:
    """Return the workspaces with the last name of a path, below workspaces with the names before it, in this order.

    Levels may be left out: `org/name` also finds a workspace that is several levels below `org`.
    """
    *above, name = path.split(SEPARATOR)
    by_id = {workspace["id"]: workspace for workspace in workspaces}
    return [
        workspace
        for workspace in workspaces
        if workspace["name"] == name
        and _contains_in_order([one["name"] for one in _ancestors(workspace, by_id)], above)
    ]


def build_paths(workspaces: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return for each id the names from the root down to the workspace; the id itself where two have the same names."""
    by_id = {workspace["id"]: workspace for workspace in workspaces}
    paths: dict[str, str] = {}
    for workspace in workspaces:
        names = [*reversed([str(one["name"]) for one in _ancestors(workspace, by_id)]), str(workspace["name"])]
        paths[workspace["id"]] = SEPARATOR.join(names)
    counts: dict[str, int] = {}
    for path in paths.values():
        counts[path] = counts.get(path, 0) + 1
    return {workspace_id: path if counts[path] == 1 else workspace_id for workspace_id, path in paths.items()}


def find_topmost(workspaces: Sequence[Mapping[str, Any]], chosen: frozenset[str]) -> list[Mapping[str, Any]]:
    """Return the chosen workspaces that have no chosen workspace above them."""
    by_id = {workspace["id"]: workspace for workspace in workspaces}
    return [
        workspace
        for workspace in workspaces
        if workspace["id"] in chosen and not any(one["id"] in chosen for one in _ancestors(workspace, by_id))
    ]


def select_below(workspaces: Sequence[Mapping[str, Any]], root_id: str) -> list[Mapping[str, Any]]:
    """Return a workspace and those below it."""
    by_id = {workspace["id"]: workspace for workspace in workspaces}
    return [
        workspace
        for workspace in workspaces
        if workspace["id"] == root_id or any(one["id"] == root_id for one in _ancestors(workspace, by_id))
    ]


def _ancestors(workspace: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the workspaces above one, the nearest first, as far as they are visible. Ends also in a cycle."""
    seen = {workspace["id"]}
    parent = by_id.get(workspace.get("parent_id") or "")
    while parent is not None and parent["id"] not in seen:
        seen.add(parent["id"])
        yield parent
        parent = by_id.get(parent.get("parent_id") or "")


def _contains_in_order(nearest_first: Sequence[str], names: Sequence[str]) -> bool:
    """Whether all names, the outermost first, are among the ancestors in this order."""
    remaining = iter(nearest_first)
    return all(name in remaining for name in reversed(names))
