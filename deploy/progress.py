"""Prints the progress of the start to the terminal, and afterwards the log of all processes."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.text import Text

COLOURS = {
    "postgres": "blue",
    "auth": "magenta",
    "registry": "cyan",
    "provisioner": "yellow",
    "a2a_proxy": "green",
    "gateway": "bright_blue",
}

NAME_COLUMN_WIDTH = 11
"""The length of the longest process name."""

LOG_LINE_PREFIX = re.compile(r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+Z \[(\w+) *\] ")
"""The date, time and level at the start of a service's log line."""


def shorten_log_line(line: str) -> str:
    """Return the line with the time of day only, without the service, and with a level only if it is not info."""
    prefix = LOG_LINE_PREFIX.match(line)
    if not prefix:
        return line
    time_of_day, level = prefix.groups()
    text = re.sub(r" service=\w+", "", line[prefix.end() :], count=1)
    return f"{time_of_day} {text}" if level == "info" else f"{time_of_day} {level.upper()} {text}"


CHECK_MARK, COLUMN_LINE = "✓", "│"

PLAIN_CHECK_MARK, PLAIN_COLUMN_LINE = "+", "|"
"""For terminals whose encoding has no others."""


class Progress:
    """Prints to a terminal, or without colours and animation to a pipe."""

    def __init__(self, console: Console, *, is_plain: bool = False) -> None:
        """With `is_plain` every character is ASCII."""
        self._console = console
        self._check_mark = PLAIN_CHECK_MARK if is_plain else CHECK_MARK
        self._column_line = PLAIN_COLUMN_LINE if is_plain else COLUMN_LINE
        self._spinner = "line" if is_plain else "dots"

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step of the start while it runs, and print it with its duration once it is done."""
        began = time.monotonic()
        with self._console.status(title, spinner=self._spinner) if self._console.is_terminal else nullcontext():
            yield
        self._console.print(
            Text.assemble((f"{self._check_mark} ", "green"), f"{title:<44}{time.monotonic() - began:6.1f} s"),
            soft_wrap=True,
        )

    def print_line(self, line: str = "") -> None:
        """Print a line as it is."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def print_log_line(self, name: str, line: str) -> None:
        """Print a line of a process's output."""
        if not line.strip():
            return
        column = Text(f"{name:<{NAME_COLUMN_WIDTH}} {self._column_line} ", style=COLOURS.get(name, "white"))
        self._console.print(column + Text.from_ansi(shorten_log_line(line)), soft_wrap=True)
