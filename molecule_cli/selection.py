"""Chooses the workspaces that a command is about: by name, path or id, or all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import completion, workspace_paths, workspaces
from molecule_cli.errors import CliError

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

Workspace = Annotated[
    str,
    typer.Argument(
        metavar="WORKSPACE",
        help="Name, path (org/name) or id of the workspace.",
        autocompletion=completion.complete_workspace,
    ),
]

Workspaces = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WORKSPACE...",
        help="Names, paths (org/name) or ids of workspaces.",
        autocompletion=completion.complete_workspace,
    ),
]

All = Annotated[bool, typer.Option("--all", help="All workspaces to which the command applies; asks first.")]


def choose(
    plane: "PlaneClient",
    references: Sequence[str] | None,
    *,
    every: bool,
    applies: Callable[[Mapping[str, Any]], bool],
    topmost: bool = False,
) -> dict[str, str]:
    """Return the names of the chosen workspaces by id; with `every` those for which `applies` is true.

    `topmost` leaves out, of all, those below a chosen one, because the command reaches them through it.
    Raises `CliError` if the user names workspaces and wants all, or does neither.
    """
    if every == bool(references):
        message = "name workspaces, or use --all for all of them"
        raise CliError(message)
    if references:
        return {workspaces.find_workspace(plane, reference): reference for reference in references}
    everything = workspaces.list_workspaces(plane)
    chosen = frozenset(str(one["id"]) for one in everything if applies(one))
    if topmost:
        chosen = frozenset(str(one["id"]) for one in workspace_paths.find_topmost(everything, chosen))
    paths = workspace_paths.build_paths(everything)
    return {workspace_id: path for workspace_id, path in paths.items() if workspace_id in chosen}
