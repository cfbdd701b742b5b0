"""Lets a person edit a text in the editor that VISUAL or EDITOR names."""

import shlex
import subprocess
import tempfile
from pathlib import Path

from molecule_cli.errors import CliError
from services.chassis.settings import read_environment

DEFAULT_EDITOR = "vi"


def edit_text(text: str, *, suffix: str) -> str:
    """Return the text as the person saved it. Raises `CliError` if the editor cannot be run or fails."""
    environment = read_environment()
    command = environment.get("VISUAL") or environment.get("EDITOR") or DEFAULT_EDITOR
    with tempfile.NamedTemporaryFile("w", suffix=suffix, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            done = subprocess.run([*shlex.split(command), file.name], check=False)  # noqa: S603 - the user's own editor
        except (OSError, ValueError) as error:
            message = f"the editor {command} cannot be run: {error}; EDITOR names another one"
            raise CliError(message) from None
        if done.returncode:
            message = f"the editor {command} ended with exit code {done.returncode}, so nothing was changed"
            raise CliError(message)
        return Path(file.name).read_text(encoding="utf-8")
