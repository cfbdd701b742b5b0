"""`molecule plugins`: lists, installs and removes the plugins of a workspace."""

from typing import Annotated
from urllib.parse import quote

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.output import Output, OutputFormat, print_for_scripts
from molecule_cli.selection import Workspace

app = CommandApp(help="Plugins of a workspace.")


@app.command(name="list")
def list_(
    workspace: Workspace,
    *,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the installed plugins."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        plugins = plane.request("GET", f"/workspaces/{workspaces.find_workspace(plane, workspace)}/plugins")
    if print_for_scripts(output, plugins, [plugin["name"] for plugin in plugins]):
        return
    if not plugins:
        terminal.print_line(f"no plugins yet: molecule plugins install {workspace} local://NAME adds one")
        return
    rows = [(plugin["name"], plugin["version"], plugin["description"]) for plugin in plugins]
    tables.print_table([tables.Column(heading) for heading in ("NAME", "VERSION", "DESCRIPTION")], rows)


@app.command()
def install(
    workspace: Workspace,
    source: Annotated[str, typer.Argument(help="local://NAME, or github://OWNER/REPOSITORY[/DIRECTORY]#COMMIT.")],
    *,
    sha256: Annotated[str, typer.Option(help="The digest that the plugin must have.")] = "",
) -> None:
    """Install a plugin; the workspace restarts."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = f"/workspaces/{workspaces.find_workspace(plane, workspace)}/plugins"
        installed = plane.request("POST", path, body={"source": source, "sha256": sha256})
    terminal.print_line(f"{installed['plugin']} is installed (sha256 {installed['sha256']}); the workspace restarts")


@app.command()
def remove(workspace: Workspace, plugin: Annotated[str, typer.Argument(help="Name of the plugin.")]) -> None:
    """Remove a plugin; the workspace restarts."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = f"/workspaces/{workspaces.find_workspace(plane, workspace)}/plugins"
        plane.request("DELETE", f"{path}/{quote(plugin, safe='')}")
    terminal.print_line(f"{plugin} is removed; the workspace restarts")
