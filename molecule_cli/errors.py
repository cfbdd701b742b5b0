"""The errors that commands report to the person at the terminal."""

from typing import Any


class CliError(Exception):
    """The command failed; the message is one line with the reason and the next step."""


class PlaneRefusal(CliError):
    """The plane refused a request; `answer` is its JSON, from which commands derive the next step."""

    def __init__(self, message: str, answer: dict[str, Any]) -> None:
        super().__init__(message)
        self.answer = answer
