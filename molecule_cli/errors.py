"""What goes wrong for the person at the terminal."""

from typing import Any


class CliError(Exception):
    """The command cannot do it; the message says why and what to do next, in one line."""


class PlaneRefusal(CliError):
    """The plane refuses; `answer` is what it said, as JSON, for commands that know what to do next."""

    def __init__(self, message: str, answer: dict[str, Any]) -> None:
        super().__init__(message)
        self.answer = answer
