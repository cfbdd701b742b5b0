"""Completes names of workspaces in the shell. It asks the plane, and completes nothing if the plane does not answer."""

from collections.abc import Iterator

TIMEOUT_SECONDS = 2.0
"""How long a person who presses Tab waits at most."""


def complete_workspace(incomplete: str) -> Iterator[str]:
    """Yield the paths of workspaces that begin with what was typed, or whose name does."""
    from molecule_cli import plane_client, settings, workspace_paths, workspaces
    from molecule_cli.errors import CliError

    try:
        with plane_client.open_plane(settings.load_settings(), timeout_seconds=TIMEOUT_SECONDS) as plane:
            found = workspaces.list_visible(plane)
    except CliError:
        return
    for path in workspace_paths.build_paths(found).values():
        name = path.rpartition(workspace_paths.SEPARATOR)[2]
        if path.startswith(incomplete):
            yield path
        elif name.startswith(incomplete):
            yield name
