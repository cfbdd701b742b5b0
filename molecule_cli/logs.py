"""`molecule logs`: prints the log of a workspace's agent."""

import json
from typing import Annotated

import typer

from molecule_cli import terminal, workspaces


def logs(
    workspace: Annotated[str, typer.Argument(help="Name or id of the workspace.")],
    *,
    tail: Annotated[int, typer.Option(min=1, max=5000, help="How many lines, the last ones.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")] = False,
) -> None:
    """Show the last lines that the agent of a workspace has written."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        log = plane.request(
            "GET", f"/workspaces/{workspaces.find_workspace(plane, workspace)}/logs", query={"tail": tail}
        )
    if as_json:
        typer.echo(json.dumps(log))
        return
    terminal.print_text(log["output"].removesuffix("\n"))
