"""`molecule images`: pulls the images of workspaces, and has workspaces restarted on them."""

from typing import Annotated

import typer

from molecule_cli import terminal
from molecule_cli.command_app import CommandApp
from molecule_cli.output import Output, OutputFormat, print_answer

app = CommandApp(help="Images of workspaces in containers.", examples=("molecule images refresh --recreate",))


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
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Pull the images of runtimes with the Docker login of the machine of the plane.

    For images at GHCR_HOST the login of GHCR_USER is used, if it is set.
    """
    from molecule_cli import plane_client, settings

    query = {"runtime": runtime, "recreate": "true" if recreate else None}
    with plane_client.open_plane(settings.load_settings()) as plane:
        result = plane.request("POST", "/admin/workspace-images/refresh", query=query)

    def print_table() -> None:
        terminal.print_line(f"pulled: {', '.join(result['pulled']) or 'none'}")
        if recreate:
            terminal.print_line(f"restarted: {', '.join(result['recreated']) or 'none'}")
        if result["failed"]:
            terminal.print_line(f"not pulled: {', '.join(result['failed'])}; the log of the provisioner says why")

    print_answer(output, result, names=result["pulled"], print_table=print_table)
    raise typer.Exit(1 if result["failed"] else 0)
