"""`molecule delegations`: shows the tasks that a workspace has given to others, and cancels them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError
from molecule_cli.next_steps import add_next_step, explain_refusals
from molecule_cli.output import Output, OutputFormat, print_for_scripts
from molecule_cli.selection import Workspace

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

app = CommandApp(help="Delegations: tasks that one workspace has given to another.")

HEADINGS = ("DELEGATION", "STATUS", "TO", "AT", "SUMMARY", "RESULT")
FLEXIBLE = frozenset({"TO", "SUMMARY", "RESULT"})

COLOURS = {"completed": "green", "failed": "red", "cancelled": "yellow", "expired": "yellow"}

SHOWN_MEMBERS = ("status", "depth", "root_id", "parent_id", "created_at", "deadline", "ended_at", "budget_remaining")
"""Members of a delegation that are shown as they are, if they have a value."""

Delegation = Annotated[str, typer.Argument(metavar="ID", help="Id of the delegation, as the list shows it.")]


@app.command(name="list")
def list_(workspace: Workspace, *, output: Output = OutputFormat.TABLE) -> None:
    """Show the newest delegations of a workspace, each with what happened last; --json has every step."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = f"/workspaces/{workspaces.find_workspace(plane, workspace)}/delegations"
        rows = plane.request("GET", path)
        names = {} if output is not OutputFormat.TABLE or not rows else workspaces.read_names(plane)
    if print_for_scripts(output, rows, [row["delegation_id"] for row in _merge_rows(rows)]):
        return
    rows = _merge_rows(rows)
    if not rows:
        terminal.print_line("this workspace has delegated nothing yet")
        return
    columns = [tables.Column(heading, flexible=heading in FLEXIBLE) for heading in HEADINGS]
    tables.print_table(
        columns,
        [
            (
                one["delegation_id"],
                tables.Cell(one["status"], COLOURS.get(one["status"], "")),
                names.get(one["target_id"], one["target_id"]),
                one["created_at"][:19],
                one["summary"],
                str(one.get("error") or one.get("response_preview") or ""),
            )
            for one in rows
        ],
    )


@app.command()
def show(workspace: Workspace, delegation: Delegation, *, output: Output = OutputFormat.TABLE) -> None:
    """Show one delegation from a workspace or to it, with its lineage and its whole result."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        found = _request(plane, "GET", workspace, delegation)
        names = {} if output is not OutputFormat.TABLE else workspaces.read_names(plane)
    if print_for_scripts(output, found, [found["delegation_id"]]):
        return
    for line in _describe_delegation(found, names):
        terminal.print_line(line)
    for member, heading in (("text", "result"), ("error", "error")):
        if found.get(member):
            terminal.print_line()
            terminal.print_line(f"{heading}:")
            terminal.print_text(found[member])


@app.command()
def cancel(workspace: Workspace, delegation: Delegation) -> None:
    """
    Cancel a delegation and everything that was delegated below it.

    Ends with exit code 1 if an agent could not be told to stop.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        answer = _request(plane, "POST", workspace, delegation, "/cancel")
        names = workspaces.read_names(plane)
    if not answer["cancelled"] and not answer["not_stopped"]:
        terminal.print_line(f"already {answer['status']}; nothing to cancel")
        return
    count = len(answer["cancelled"])
    terminal.print_line(f"{answer['status']}: {count} {'delegation' if count == 1 else 'delegations'} ended")
    if answer["not_stopped"]:
        message = (
            f"still at work, because they could not be told to stop: {_list_targets(answer['not_stopped'], names)}"
        )
        raise CliError(message)


def _merge_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one row for each delegation: what was asked and when, and what came of it. The newest come first."""
    merged: dict[str, Mapping[str, Any]] = {}
    for row in reversed(rows):
        earlier = merged.get(row["delegation_id"], row)
        merged[row["delegation_id"]] = {
            **earlier,
            **row,
            "summary": earlier["summary"],
            "created_at": earlier["created_at"],
        }
    return list(merged.values())[::-1]


def _request(plane: "PlaneClient", method: str, workspace: str, delegation: str, verb: str = "") -> Any:  # noqa: ANN401 - JSON
    workspace_id = workspaces.find_workspace(plane, workspace)
    path = f"/workspaces/{workspace_id}/delegations/{quote(delegation, safe='')}{verb}"
    steps = (("delegation not found", f"molecule delegations list {workspace} shows the ids"),)
    with explain_refusals(partial(add_next_step, steps=steps)):
        return plane.request(method, path)


def _describe_delegation(delegation: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for each fact about a delegation."""
    yield f"{'delegation':<17} {delegation['delegation_id']}"
    yield f"{'from':<17} {names.get(delegation['source_id'], delegation['source_id'])}"
    yield f"{'to':<17} {names.get(delegation['target_id'], delegation['target_id'])}"
    for member in SHOWN_MEMBERS:
        if delegation.get(member) is not None:
            yield f"{member.removesuffix('_id').replace('_', ' '):<17} {delegation[member]}"


def _list_targets(delegations: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    return ", ".join(f"{names.get(one['target_id'], one['target_id'])} ({one['delegation_id']})" for one in delegations)
