"""Runs the `molecule` command within the process of the test, which takes a tenth of the time of a new process."""

import os
from subprocess import CompletedProcess

from typer.testing import CliRunner

from molecule_cli.__main__ import app
from molecule_cli.errors import CliError


def run_command(*arguments: str, url: str) -> CompletedProcess[str]:
    """Run a command against the plane at `url`; a `CliError` becomes what `main` makes of it."""
    return molecule(*arguments, MOLECULE_URL=url)


def molecule(*arguments: str, stdin: str = "", **environment: str) -> CompletedProcess[str]:
    """Run a command with these variables and no others, and with a text as its standard input.

    A `CliError` becomes what `main` makes of it.
    """
    others: dict[str, str | None] = dict.fromkeys(os.environ)
    variables = {**others, "COLUMNS": "200", "MOLECULE_CONFIG": "/nowhere", **environment}
    result = CliRunner().invoke(app, list(arguments), input=stdin, env=variables)
    code, error = result.exit_code, result.stderr
    if isinstance(result.exception, CliError):
        code, error = result.exception.exit_code, f"{error}molecule: {result.exception}\n"
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return CompletedProcess(arguments, code, result.stdout, error)
