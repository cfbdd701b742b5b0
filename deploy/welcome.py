"""Builds the text that `molecule up` prints once the plane is ready: its addresses, and commands to try."""

import shutil
import sys
from pathlib import Path

from deploy.settings import DEFAULT_PORT, UpSettings

HELLO = '{"method":"message/send","params":{"message":{"role":"user","parts":[{"kind":"text","text":"hello"}]}}}'

FIRST_WORKSPACE = '{"name":"lead","runtime":"external","delivery_mode":"poll"}'


def build_welcome_lines(settings: UpSettings, *, team: dict[str, str], seconds: float) -> tuple[str, ...]:
    """Return the lines to print. `team` has the ids of the demo team by name, and may be empty."""
    molecule = _build_cli_command(settings)
    token = ' -H "Authorization: Bearer $ADMIN_TOKEN"' if settings.admin_token else ""
    curl = f"curl -s{token} {settings.url}/workspaces"
    if team:
        name, workspace_id = next(iter(team.items()))
        commands = (
            f'{molecule} send {name} "hello"',
            f"{molecule} status",
            f"{curl}/{workspace_id}/a2a -d '{HELLO}'",
        )
    else:
        commands = (f"{curl} -d '{FIRST_WORKSPACE}'", f"{molecule} status", f"{molecule} --help")
    return (
        "",
        f"Molecule is ready after {seconds:.1f} s.",
        "",
        f"  API   {settings.url}",
        f"  Docs  {settings.url}/docs",
        "",
        "Try in another terminal:",
        *(f"  {command}" for command in commands),
        "",
        "Ctrl-C stops everything. The log of all processes follows.",
        "",
    )


def _build_cli_command(settings: UpSettings) -> str:
    """Return the `molecule` command as the operator can type it in the current directory."""
    installed = Path(sys.executable).with_name("molecule")
    on_path = shutil.which("molecule")
    if on_path and Path(on_path) == installed:
        command = "molecule"
    elif installed.is_relative_to(Path.cwd()):
        command = str(installed.relative_to(Path.cwd()))
    else:
        command = str(installed)
    return command if settings.port == DEFAULT_PORT else f"PORT={settings.port} {command}"
