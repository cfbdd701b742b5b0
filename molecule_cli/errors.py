"""The errors that commands report to the person at the terminal."""

from typing import Any


class CliError(Exception):
    """The command failed; the message is one line with the reason and the next step."""

    exit_code = 1


class PlaneRefusal(CliError):
    """The plane refused a request; `answer` is its JSON, from which commands derive the next step."""

    def __init__(self, message: str, answer: dict[str, Any], *, status: int) -> None:
        super().__init__(message)
        self.answer = answer
        self.status = status


class TaskNotCompleted(CliError):
    """The agent received the message, and its task did not end as completed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ConditionNotMet(CliError):
    """The command was carried out, but a workspace is not, or not yet, in the state that the user waits for."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
