"""What the operator reads once the plane stands: where it is, and what to try."""

import shutil
import sys
from pathlib import Path

from deploy.settings import DEFAULT_PORT, UpSettings

HELLO = '{"method":"message/send","params":{"message":{"role":"user","parts":[{"kind":"text","text":"hello"}]}}}'

FIRST_WORKSPACE = '{"name":"lead","runtime":"external","delivery_mode":"poll"}'


def build_welcome_lines(settings: UpSettings, *, team: dict[str, str], seconds: float) -> tuple[str, ...]:
    """Ready to paste; `team` holds the ids of the demo team by name, and may be empty."""
    molecule = _molecule(settings)
    token = ' -H "Authorization: Bearer $ADMIN_TOKEN"' if settings.admin_token else ""
    curl = f"curl -s{token} {settings.url}/workspaces"
    if team:
        name, workspace_id = next(iter(team.items()))
        tries = (f'{molecule} send {name} "hello"', f"{molecule} status", f"{curl}/{workspace_id}/a2a -d '{HELLO}'")
    else:
        tries = (f"{curl} -d '{FIRST_WORKSPACE}'", f"{molecule} status", f"{molecule} --help")
    return (
        "",
        f"Molecule is ready after {seconds:.1f} s.",
        "",
        f"  API   {settings.url}",
        f"  Docs  {settings.url}/docs",
        "",
        "Try in another terminal:",
        *(f"  {line}" for line in tries),
        "",
        "Ctrl-C stops everything. The log of all processes follows.",
        "",
    )


def _molecule(settings: UpSettings) -> str:
    """The command as it can be typed here."""
    ours = Path(sys.executable).with_name("molecule")
    found = shutil.which("molecule")
    if found and Path(found) == ours:
        command = "molecule"
    else:
        command = str(ours.relative_to(Path.cwd())) if ours.is_relative_to(Path.cwd()) else str(ours)
    return command if settings.port == DEFAULT_PORT else f"PORT={settings.port} {command}"
