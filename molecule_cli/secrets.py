"""`molecule secrets`: manages secrets. Values come from a pipe or a prompt, never from the command line."""

import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_for_scripts

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

app = CommandApp(help="Secrets of one workspace, or of all.")

GLOBAL_PATH = "/settings/secrets"

Workspace = Annotated[str | None, typer.Option("--for", help="Name or id of the workspace.")]
IsGlobal = Annotated[bool, typer.Option("--global", help="Secrets of all workspaces that have none of the same name.")]


@app.command(name="list")
def list_(
    *,
    workspace: Workspace = None,
    is_global: IsGlobal = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the names of secrets, never their values."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        secrets = plane.request("GET", _build_path(plane, workspace, is_global=is_global))
    if print_for_scripts(output, secrets, [secret["key"] for secret in secrets]):
        return
    if not secrets:
        terminal.print_line("no secrets yet: molecule secrets set KEY adds one")
        return
    rows = [(secret["key"], secret["scope"], secret["updated_at"][:19]) for secret in secrets]
    tables.print_table([tables.Column(heading) for heading in ("KEY", "SCOPE", "SET")], rows)
    for secret in secrets:
        if secret.get("reserved"):
            owner = "--global" if secret["scope"] == "global" else f"--for {workspace}"
            terminal.print_line(
                f"{secret['key']} is not given to agents: its name is reserved; "
                f"molecule secrets unset {secret['key']} {owner} deletes it"
            )


@app.command(name="set")
def set_(
    key: Annotated[str, typer.Argument(help="The name of the variable.")],
    *,
    workspace: Workspace = None,
    is_global: IsGlobal = False,
) -> None:
    """
    Set a secret; the workspaces that it applies to are restarted.

    The value is read from standard input, or asked for, because other users can read command lines.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = _build_path(plane, workspace, is_global=is_global)
        plane.request("PUT", path, body={"key": key, "value": _read_value(key)})
    terminal.print_line(f"{key} is set; the workspaces that use it are restarted")


@app.command()
def unset(
    key: Annotated[str, typer.Argument(help="The name of the variable.")],
    *,
    workspace: Workspace = None,
    is_global: IsGlobal = False,
) -> None:
    """Delete a secret; the workspaces that it applied to are restarted."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        plane.request("DELETE", f"{_build_path(plane, workspace, is_global=is_global)}/{quote(key, safe='')}")
    terminal.print_line(f"{key} is deleted; the workspaces that used it are restarted")


def _build_path(plane: "PlaneClient", workspace: str | None, *, is_global: bool) -> str:
    if is_global == (workspace is not None):
        message = "name the owner: --for WORKSPACE, or --global for all workspaces"
        raise CliError(message)
    return GLOBAL_PATH if workspace is None else f"/workspaces/{workspaces.find_workspace(plane, workspace)}/secrets"


def _read_value(key: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(f"Value of {key}", hide_input=True))
    value = sys.stdin.read().removesuffix("\n")
    if not value:
        message = f"no value for {key}: pipe one in, or call this in a terminal and type it"
        raise CliError(message)
    return value
