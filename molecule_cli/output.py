"""The option `--output`: prints an answer as a table for people, as JSON, or as one name on each line."""

import json
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated

import typer

from molecule_cli import terminal

PANEL = "Output"
"""The part of each help that has the options of this kind."""


class OutputFormat(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


Output = Annotated[
    OutputFormat,
    typer.Option(
        "--output",
        "-o",
        help="[bold]table[/] for people, [bold]json[/] as the plane answers, [bold]name[/] for one on each line.",
        rich_help_panel=PANEL,
    ),
]


def print_answer(
    output: OutputFormat, answer: object, *, names: Iterable[object], print_table: Callable[[], None]
) -> None:
    """Print an answer of the plane in the format that the user chose.

    `names` are the names or ids for `--output name`; `print_table` prints the answer for people.
    """
    match output:
        case OutputFormat.JSON:
            print_json(answer)
        case OutputFormat.NAME:
            for name in names:
                terminal.print_line(name)
        case OutputFormat.TABLE:
            print_table()


def print_json(answer: object) -> None:
    """Print an answer as one line of JSON, in which every control character is escaped."""
    typer.echo(json.dumps(answer))


def print_for_scripts(output: OutputFormat, answer: object, names: Iterable[object]) -> bool:
    """Print an answer as JSON or as names, if the user chose one of these; return whether it did."""
    print_answer(output, answer, names=names, print_table=lambda: None)
    return output is not OutputFormat.TABLE
