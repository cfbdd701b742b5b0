"""Prints tables whose ids stay whole: wide columns wrap, and a pipe receives every row on one line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from molecule_cli.terminal import escape_controls

MIN_FLEXIBLE_WIDTH = 12
"""Characters to which a terminal may narrow a column that wraps."""

MAX_WIDTH = 1_000_000
"""Characters of the widest line; no cell of the plane is that long."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; a flexible one wraps where the terminal is too narrow, any other stays on one line."""

    heading: str
    flexible: bool = False
    optional: bool = False
    """Left out where the terminal is too narrow for the whole table; never where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with a colour of rich."""

    text: str
    style: str = ""


Row = Sequence[str | Cell]


def print_table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print a table to standard output. No cell is shortened; where there is no terminal, none is wrapped either."""
    console = Console()
    rows = list(rows)
    table = build_table(columns, rows)
    widest = _measure(console, table)
    if console.is_terminal and widest.minimum > console.width:
        table = build_table(columns, rows, with_optional=False)
        widest = _measure(console, table)
    if console.is_terminal:
        console.width = max(widest.minimum, console.width)
        console.print(table, crop=False)
        return
    console.width = widest.maximum
    with console.capture() as rendered:
        console.print(table, crop=False)
    for line in rendered.get().splitlines():
        typer.echo(line.rstrip())


def build_table(columns: Sequence[Column], rows: Iterable[Row], *, with_optional: bool = True) -> Table:
    """Return the table of rich in which no cell is shortened and no text controls the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    shown = [number for number, column in enumerate(columns) if with_optional or not column.optional]
    for number, column in ((number, columns[number]) for number in shown):
        widths = [Text(escape_controls(row[number].text)).cell_len for row in cells]
        width = max([len(column.heading), *widths])
        table.add_column(
            column.heading,
            no_wrap=not column.flexible,
            min_width=min(width, MIN_FLEXIBLE_WIDTH) if column.flexible else width,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*(Text(escape_controls(row[number].text), style=row[number].style) for number in shown))
    return table


def _measure(console: Console, table: Table) -> Measurement:
    return Measurement.get(console, console.options.update(width=MAX_WIDTH, max_width=MAX_WIDTH), table)
