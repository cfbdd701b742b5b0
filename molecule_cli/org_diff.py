"""Compares an organisation as a file declares it with the one that a plane has. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

COMPARED_MEMBERS = ("tier", "runtime")
"""What a dry run of an import tells about each workspace, besides its name and place."""


def compare(declared: Sequence[Mapping[str, Any]], present: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line for each difference.

    `declared` is the list of a dry run, parents first, each with the name of its parent. `present` has the workspaces
    of the plane by their paths. A line begins with `+` for what an import would add, `-` for what the file does not
    declare, and `~` for other values.
    """
    wanted = dict(_build_paths(declared))
    for path, workspace in wanted.items():
        if path not in present:
            yield f"+ {path}"
            continue
        for member in COMPARED_MEMBERS:
            before, after = present[path].get(member), workspace.get(member)
            if after is not None and before != after:
                yield f"~ {path}: {member} is {before}, the file has {after}"
    for path in present:
        if path not in wanted:
            yield f"- {path}"


def _build_paths(declared: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each workspace with its path; the parent is the last one of that name before it."""
    paths: dict[str, str] = {}
    for workspace in declared:
        name, parent = str(workspace["name"]), workspace.get("parent")
        path = f"{paths.get(str(parent), str(parent))}/{name}" if parent else name
        paths[name] = path
        yield path, workspace
