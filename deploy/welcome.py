"""Builds the text that `molecule up` prints once the plane is ready: its addresses, and commands to try."""

import shlex
import shutil
import sys
from pathlib import Path

from deploy.settings import UpSettings
from services.chassis.settings import Mode

HELLO = '{"method":"message/send","params":{"message":{"role":"user","parts":[{"kind":"text","text":"hello"}]}}}'

FIRST_WORKSPACE = '{"name":"lead","runtime":"external","delivery_mode":"poll"}'

READY_TEXT = "Molecule is ready"
"""The text with which the welcome begins; `molecule up --detach` waits for it."""


def build_welcome_lines(
    settings: UpSettings, *, team: dict[str, str], seconds: float, token_in_file: bool
) -> tuple[str, ...]:
    """Return the lines to print.

    `team` has the ids of the demo team by name, and may be empty; `token_in_file` says that ADMIN_TOKEN is in a file.
    """
    molecule = _build_cli_command(settings)
    variable, value = "ADMIN_TOKEN", "$ADMIN_TOKEN"
    if token_in_file:
        variable, value = "ADMIN_TOKEN_FILE", "$(cat $ADMIN_TOKEN_FILE)"
    token = f' -H "Authorization: Bearer {value}"' if settings.admin_token else ""
    curl = f"curl -s{token} {settings.url}/workspaces"
    if team:
        name, workspace_id = next(iter(team.items()))
        commands = (
            f'{molecule} send {name} "hello"',
            f"{molecule} status",
            f"{curl}/{workspace_id}/a2a -d '{HELLO}'",
        )
    elif settings.backend == "process" and settings.molecule_env is not Mode.DEVELOPMENT:
        commands = (f"{molecule} org import demo", f"{molecule} status", f"{molecule} --help")
    else:
        commands = (f"{curl} -d '{FIRST_WORKSPACE}'", f"{molecule} status", f"{molecule} --help")
    return (
        "",
        f"{READY_TEXT} after {seconds:.1f} s.",
        "",
        f"  API   {settings.url}",
        f"  Docs  {settings.url}/docs",
        "",
        f"Try in another terminal{f' with {variable} set' if settings.admin_token else ''}:",
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
    if settings.molecule_home == UpSettings.model_fields["molecule_home"].default:
        return command
    return f"MOLECULE_HOME={shlex.quote(str(settings.molecule_home.absolute()))} {command}"
