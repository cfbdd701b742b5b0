"""`molecule watch`: shows the tree of workspaces live; without a terminal it prints each change as a line."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import terminal, workspace_paths, workspace_table, workspaces
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_json

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

EXAMPLES = ("molecule watch", "molecule watch newsroom", "molecule watch -o json | tee changes.log")

Found = Sequence[Mapping[str, Any]]


def watch(
    below: Annotated[
        str | None, typer.Argument(metavar="WORKSPACE", help="Only this workspace and those below it.")
    ] = None,
    *,
    interval: Annotated[
        float, typer.Option("--interval", "-n", min=0.2, max=3600, metavar="SECONDS", help="Time between two looks.")
    ] = 1.0,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Show the workspaces with their status, cause and work, until Ctrl-C.

    In a terminal the table is kept up to date. In a pipe each change is one line; with [bold]-o json[/] it is the
    workspace as the plane shows it, with [bold]-o name[/] its path.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        root_id = workspaces.find_workspace(plane, below) if below else None
        if output is OutputFormat.TABLE and terminal.is_output_terminal():
            _show_live(plane, root_id, interval)
        else:
            _print_changes(plane, root_id, interval, output)


def find_changes(before: Mapping[str, Mapping[str, Any]], found: Found) -> list[Mapping[str, Any]]:
    """Return the workspaces that are new or have another status, cause or task, and those that have gone as removed."""
    changed = [one for one in found if _describe(before.get(one["id"])) != _describe(one)]
    present = {one["id"] for one in found}
    gone = [{**one, "status": "removed", "status_detail": ""} for key, one in before.items() if key not in present]
    return [*changed, *gone]


def _show_live(plane: "PlaneClient", root_id: str | None, interval: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from molecule_cli import tables

    problem = ""
    found: Found = ()
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            try:
                found, problem = _list(plane, root_id), ""
            except CliError as error:  # the plane may be restarted meanwhile
                problem = str(error)
            now = datetime.now(UTC)
            rows = workspace_table.build_live_rows(found, now=now)
            heading = f"{len(found)} workspaces, {_count_statuses(found)}; Ctrl-C ends"
            lines = [Text(terminal.escape_controls(heading), style="bold")]
            if problem:
                lines.append(Text(terminal.escape_controls(problem), style="red"))
            table = tables.build_table(workspace_table.LIVE_COLUMNS, rows)
            live.update(Group(*lines, Text(), table), refresh=True)
            time.sleep(interval)


def _print_changes(plane: "PlaneClient", root_id: str | None, interval: float, output: OutputFormat) -> None:
    before: dict[str, Mapping[str, Any]] = {}
    while True:
        try:
            found = _list(plane, root_id)
        except CliError as error:
            if not before:
                raise
            terminal.print_note(str(error), to_stderr=True)
        else:
            paths = workspace_paths.build_paths([*before.values(), *found])
            for one in find_changes(before, found):
                _print_change(one, paths[one["id"]], output)
            before = {one["id"]: one for one in found}
        time.sleep(interval)


def _print_change(workspace: Mapping[str, Any], path: str, output: OutputFormat) -> None:
    match output:
        case OutputFormat.JSON:
            print_json(workspace)
        case OutputFormat.NAME:
            terminal.print_line(path)
        case OutputFormat.TABLE:
            now = datetime.now(UTC)
            cause = workspace_table.describe_cause(workspace, now=now)
            task = workspace.get("current_task") or ""
            terminal.print_line(f"{now:%H:%M:%S}  {workspace['status']:<14}{path}  {task or cause}".rstrip())


def _list(plane: "PlaneClient", root_id: str | None) -> Found:
    found: Found = workspaces.list_workspaces(plane)
    return workspace_paths.select_below(found, root_id) if root_id else found


def _describe(workspace: Mapping[str, Any] | None) -> tuple[object, ...]:
    """Return what a watcher sees of a workspace."""
    members = ("status", "status_detail", "status_reason", "current_task", "restart_count", "name", "parent_id")
    return () if workspace is None else tuple(workspace.get(member) for member in members)


def _count_statuses(found: Found) -> str:
    counts: dict[str, int] = {}
    for one in found:
        counts[str(one["status"])] = counts.get(str(one["status"]), 0) + 1
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none yet"
