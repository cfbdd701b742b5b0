"""Asks before a command destroys something. Where nobody can answer, the command is refused instead."""

from typing import Annotated

import typer

from molecule_cli import terminal
from molecule_cli.errors import CliError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where there is no terminal.")]


class Declined(CliError):
    """The person answered no; nothing was changed."""


def require_consent(question: str, *, yes: bool) -> None:
    """Return if the user agrees; raises `CliError` if not, or if there is no terminal to ask in."""
    if yes:
        return
    if not terminal.is_interactive():
        message = f"this command would {question}, and there is no terminal to ask in: add --yes"
        raise CliError(message)
    if not typer.confirm(terminal.escape_controls(f"{question[0].upper()}{question[1:]}?"), err=True):
        message = "nothing was changed"
        raise Declined(message)
