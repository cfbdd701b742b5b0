"""`molecule images`: pulls the images of workspaces, and has workspaces restarted on them."""

import json
from typing import Annotated

import typer

from molecule_cli import terminal

app = typer.Typer(no_args_is_help=True, help="Images of workspaces in containers.")


@app.callback()
def images() -> None:
    """Make `refresh` a command of its own."""


@app.command()
def refresh(
    *,
    runtime: Annotated[str | None, typer.Option(help="Only the image of this runtime.")] = None,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Restart the workspaces on a pulled image, a few at a time.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")] = False,
) -> None:
    """
    Pull the images of runtimes with the Docker login of the machine of the plane.

    For images at GHCR_HOST the login of GHCR_USER is used, if it is set.
    """
    from molecule_cli import plane_client, settings

    query = {"runtime": runtime, "recreate": "true" if recreate else None}
    with plane_client.open_plane(settings.load_settings()) as plane:
        result = plane.request("POST", "/admin/workspace-images/refresh", query=query)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        terminal.print_line(f"pulled: {', '.join(result['pulled']) or 'none'}")
        if recreate:
            terminal.print_line(f"restarted: {', '.join(result['recreated']) or 'none'}")
        if result["failed"]:
            terminal.print_line(f"not pulled: {', '.join(result['failed'])}; the log of the provisioner says why")
    raise typer.Exit(1 if result["failed"] else 0)
