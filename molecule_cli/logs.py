"""`molecule ws logs`: prints the log of a workspace's agent, and follows it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_json
from molecule_cli.selection import Workspace

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

EXAMPLES = ("molecule ws logs lead --tail 50", "molecule ws logs lead -f")

MAX_TAIL = 5000
"""The most lines that the plane returns."""

FOLLOW_SECONDS = 1.0
"""Time between two looks at a log that is followed."""


def logs(
    workspace: Workspace,
    *,
    tail: Annotated[int, typer.Option(min=1, max=MAX_TAIL, help="How many lines, the last ones.")] = 200,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also show what is written from now on, until Ctrl-C.")
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the last lines that the agent of a workspace has written."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = f"/workspaces/{workspaces.find_workspace(plane, workspace)}/logs"
        log = plane.request("GET", path, query={"tail": tail})
        if output is OutputFormat.TABLE:
            terminal.print_text(log["output"].removesuffix("\n"))
        else:
            print_json(log)
        if follow:
            _follow(plane, path, log["output"].splitlines(), output=output)


def find_new_lines(before: Sequence[str], after: Sequence[str]) -> Sequence[str]:
    """Return the lines that were added between two looks at the end of a log, of which the second may start later.

    If the looks have no line in common, all lines of the second one are new.
    """
    for overlap in range(min(len(before), len(after)), 0, -1):
        if before[-overlap:] == after[:overlap]:
            return after[overlap:]
    return after


def _follow(plane: "PlaneClient", path: str, lines: Sequence[str], *, output: OutputFormat) -> None:
    """Look at the log again and again, and print what is new; the plane may be away meanwhile."""
    is_away = False
    while True:
        time.sleep(FOLLOW_SECONDS)
        try:
            log: dict[str, Any] = plane.request("GET", path, query={"tail": MAX_TAIL})
        except CliError as error:
            if not is_away:
                terminal.print_note(f"{error}; trying again", to_stderr=True)
            is_away = True
            continue
        is_away = False
        latest = log["output"].splitlines()
        for line in find_new_lines(lines, latest):
            if output is OutputFormat.TABLE:
                terminal.print_line(line)
            else:
                print_json({"line": line})
        lines = latest
