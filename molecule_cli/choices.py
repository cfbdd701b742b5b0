"""Checks words of the command line that have few values. A wrong one is a usage error that names them."""

from collections.abc import Iterable, Sequence

import typer


def check_choices(values: Iterable[str], choices: Sequence[str]) -> None:
    """Raise `BadParameter` for a value that is none of the choices."""
    for value in values:
        if value not in choices:
            message = f"{value!r} is not one of {', '.join(choices)}"
            raise typer.BadParameter(message)
