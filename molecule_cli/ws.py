"""`molecule ws`: creates, shows, changes, stops and starts workspaces."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import (
    files,
    lifecycle,
    logs,
    terminal,
    waiting,
    workspace_create,
    workspace_edit,
    workspace_paths,
    workspace_table,
    workspaces,
)
from molecule_cli.choices import check_choices
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_answer
from molecule_cli.selection import Workspace, Workspaces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATUSES = (
    *("provisioning", "awaiting_agent", "online", "degraded", "offline", "failed"),
    *("paused", "hibernating", "hibernated", "removed"),
)

app = CommandApp(
    help="Workspaces: create, list, show, edit, restart, pause, delete, and what their agents write.",
    examples=(
        "molecule ws create writer --template echo-agent --parent lead --wait",
        "molecule ws list --status failed,offline",
        "molecule ws show lead/writer",
        "molecule ws restart --all --yes",
    ),
)


def _check_statuses(value: str | None) -> str | None:
    """Return the statuses that a person names; the command ends with a usage error for another word."""
    if value is not None:
        check_choices(value.split(","), STATUSES)
    return value


app.command(name="create", examples=workspace_create.EXAMPLES)(workspace_create.create)


@app.command(name="list", examples=("molecule ws list --below newsroom", "molecule ws list -o name"))
def list_(
    *,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS,...", callback=_check_statuses, help="Only these statuses."),
    ] = None,
    below: Annotated[str | None, typer.Option("--below", help="Only this workspace and those below it.")] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Show the tree of workspaces with status, cause and id.

    With [bold]-o name[/] one path on each line, which every command takes.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        everything = workspaces.list_workspaces(plane)
        root_id = workspaces.find_workspace(plane, below) if below else None
    found: Sequence[Mapping[str, Any]] = everything
    if root_id:
        found = workspace_paths.select_below(found, root_id)
    if status:
        found = [one for one in found if one["status"] in status.split(",")]
    paths = workspace_paths.build_paths(everything)
    print_answer(
        output,
        found,
        names=[paths[one["id"]] for one in found],
        print_table=lambda: _print_list(found, bool(everything)),
    )


@app.command(examples=("molecule ws show lead", "molecule ws show newsroom/writer -o json"))
def show(workspace: Workspace, *, output: Output = OutputFormat.TABLE) -> None:
    """Show one workspace: its status and the cause, what its start waits for, its limits, its address."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        found = plane.request("GET", f"/workspaces/{workspaces.find_workspace(plane, workspace)}")
        names = workspaces.read_names(plane) if output is OutputFormat.TABLE else {}
    print_answer(output, found, names=[found["id"]], print_table=lambda: _print_details(found, names))


app.command(name="get", hidden=True)(show)
app.command(name="describe", hidden=True)(show)
app.command(name="edit", examples=workspace_edit.EXAMPLES)(workspace_edit.edit)
lifecycle.register(app)
app.command(examples=logs.EXAMPLES)(logs.logs)


@app.command(examples=("molecule ws wait lead", "molecule ws wait lead writer --for hibernated --timeout 600"))
def wait(
    targets: Workspaces,
    *,
    wanted: Annotated[
        str,
        typer.Option("--for", metavar="STATUS,...", callback=_check_statuses, help="The statuses to wait for."),
    ] = "online,degraded",
    timeout: waiting.Timeout = waiting.DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """
    Wait until workspaces have a status; progress goes to standard error.

    Exit codes:
    0 all have it
    3 one failed
    5 the time is over
    """
    from molecule_cli import plane_client, settings

    if not targets:
        message = "name the workspaces to wait for"
        raise CliError(message)
    with plane_client.open_plane(settings.load_settings()) as plane:
        names = {workspaces.find_workspace(plane, target): target for target in targets}
        found = waiting.wait_for_statuses(plane, names, frozenset(wanted.split(",")), timeout_seconds=timeout)
    for one in found:
        terminal.print_note(f"{names[one['id']]} is {one['status']}")


app.add_typer(files.app, name="files")


def _print_list(found: "Sequence[Mapping[str, Any]]", has_others: bool) -> None:  # noqa: FBT001 - a fact, not a choice
    from molecule_cli import tables

    if found:
        tables.print_table(workspace_table.COLUMNS, workspace_table.build_rows(found, now=datetime.now(UTC)))
    elif has_others:
        terminal.print_line("no workspace matches: molecule ws list shows all of them")
    else:
        terminal.print_line("no workspaces yet: molecule ws create NAME makes one, molecule org import demo a team")


def _print_details(found: "Mapping[str, Any]", names: "Mapping[str, str]") -> None:
    for label, value in workspace_table.describe_workspace(found, names, now=datetime.now(UTC)):
        terminal.print_line(f"{label:<14}{value}")
