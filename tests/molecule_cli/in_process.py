"""Runs the `molecule` command within the process of the test, which takes a tenth of the time of a new process."""

from subprocess import CompletedProcess

from typer.testing import CliRunner

from molecule_cli.__main__ import app
from molecule_cli.errors import CliError

UNSET = dict.fromkeys(("MOLECULE_TOKEN", "ADMIN_TOKEN", "MOLECULE_TOKEN_FILE", "ADMIN_TOKEN_FILE", "PORT"))
"""Variables that the environment of the tests may contain, and the command would read."""


def run_command(*arguments: str, url: str) -> CompletedProcess[str]:
    """Run a command against the plane at `url`; a `CliError` becomes what `main` makes of it."""
    result = CliRunner().invoke(app, list(arguments), env={**UNSET, "MOLECULE_URL": url, "COLUMNS": "200"})
    code, error = result.exit_code, result.stderr
    if isinstance(result.exception, CliError):
        code, error = result.exception.exit_code, f"{error}molecule: {result.exception}\n"
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return CompletedProcess(arguments, code, result.stdout, error)
