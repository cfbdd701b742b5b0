"""What the operator sees: steps with the time they took, then the log of all processes."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

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

WIDTH = 11
"""Of the column of names: the longest of them."""


STAMPED = re.compile(r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+Z \[(\w+) *\] ")
"""How a line of the services begins; the file has all of it."""


def shorten_log_line(line: str) -> str:
    """A line for people: the time of day, and a level only where it is worth a look."""
    stamped = STAMPED.match(line)
    if not stamped:
        return line
    time_of_day, level = stamped.groups()
    said = re.sub(r" service=\w+", "", line[stamped.end() :], count=1)
    return f"{time_of_day} {said}" if level == "info" else f"{time_of_day} {level.upper()} {said}"


class Progress:
    """Tells a terminal, or a pipe without colours and movement, how the start goes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step of the start: shown while it runs, and once it is done, with its time."""
        began = time.monotonic()
        with self._console.status(title) if self._console.is_terminal else nullcontext():
            yield
        self._console.print(
            Text.assemble(("✓ ", "green"), f"{title:<44}{time.monotonic() - began:6.1f} s"), soft_wrap=True
        )

    def print_line(self, line: str = "") -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def print_log_line(self, name: str, line: str) -> None:
        """A line of the merged log. A reader who left ends the reading, not the plane."""
        if not line.strip():
            return
        with suppress(BrokenPipeError):
            column = Text(f"{name:<{WIDTH}} │ ", style=COLOURS.get(name, "white"))
            self._console.print(column + Text.from_ansi(shorten_log_line(line)), soft_wrap=True)
