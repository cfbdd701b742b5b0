"""`molecule files`: lists, prints, writes and deletes the files of a workspace."""

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_for_scripts
from molecule_cli.selection import Workspace

app = CommandApp(help="Files of a workspace, whether its agent runs or not.")

Path = Annotated[str, typer.Argument(help="The file, below the root.")]
Root = Annotated[str, typer.Option(help="/configs, /workspace, /home or /plugins.")]


@app.command()
def ls(
    workspace: Workspace,
    directory: Annotated[str, typer.Argument(help="A directory below the root; the root itself if left out.")] = "",
    *,
    root: Root = "/configs",
    depth: Annotated[int, typer.Option(min=1, max=5, help="How many levels.")] = 1,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show files and directories."""
    from molecule_cli import plane_client, settings

    query = {"root": root, "path": directory, "depth": depth}
    with plane_client.open_plane(settings.load_settings()) as plane:
        files = plane.request("GET", f"/workspaces/{workspaces.find_workspace(plane, workspace)}/files", query=query)
    if print_for_scripts(output, files, [file["path"] for file in files]):
        return
    for file in files:
        terminal.print_line(f"{file['path']}/" if file["dir"] else f"{file['path']}  {file['size']}")


@app.command()
def cat(workspace: Workspace, path: Path, *, root: Root = "/configs") -> None:
    """Print a text file."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        address = _build_path(workspaces.find_workspace(plane, workspace), path)
        file = plane.request("GET", address, query={"root": root})
    terminal.print_text(file["content"], end="")


@app.command()
def put(workspace: Workspace, path: Path, *, root: Root = "/configs") -> None:
    """Write a text file from standard input; the agent is not restarted."""
    from molecule_cli import plane_client, settings

    try:
        content = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        message = "standard input is not UTF-8 text"
        raise CliError(message) from None
    with plane_client.open_plane(settings.load_settings()) as plane:
        address = _build_path(workspaces.find_workspace(plane, workspace), path)
        plane.request("PUT", address, query={"root": root}, body={"content": content})
    terminal.print_line(f"{path} is written")


@app.command()
def rm(workspace: Workspace, path: Path, *, root: Root = "/configs") -> None:
    """Delete a file, or an empty directory."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        plane.request("DELETE", _build_path(workspaces.find_workspace(plane, workspace), path), query={"root": root})
    terminal.print_line(f"{path} is deleted")


def _build_path(workspace_id: str, path: str) -> str:
    return f"/workspaces/{workspace_id}/files/{quote(path)}"
