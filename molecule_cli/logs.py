"""`molecule logs`: prints the log of a workspace's agent."""

import json
import sys
from typing import Annotated

import typer


def logs(
    workspace: Annotated[str, typer.Argument(help="Name or id of the workspace.")],
    *,
    tail: Annotated[int, typer.Option(min=1, max=5000, help="How many lines, the last ones.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")] = False,
) -> None:
    """Show the last lines that the agent of a workspace has written."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        log = plane.request("GET", f"/workspaces/{plane.find(workspace)}/logs", query={"tail": tail})
    if as_json:
        typer.echo(json.dumps(log))
        return
    output = log["output"]
    typer.echo(_replace_control_characters(output) if sys.stdout.isatty() else output, nl=not output.endswith("\n"))


def _replace_control_characters(output: str) -> str:
    """Keep an agent's log from controlling the terminal of the reader."""
    return "".join(
        character if character in "\n\t" or character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in output
    )
