"""Builds the tables of `molecule queue`: messages, their attempts and the accounts. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from molecule_cli.tables import Cell, Column, Row
from molecule_cli.workspace_table import format_age

MESSAGE_COLUMNS = (
    Column("ID"),
    Column("STATUS"),
    Column("TO", flexible=True),
    Column("FROM", flexible=True),
    Column("AGE"),
    Column("FAILURES"),
    Column("WHY", flexible=True),
)

ATTEMPT_COLUMNS = (Column("AT"), Column("OUTCOME"), Column("ERROR", flexible=True))

STATES = ("queued", "dispatching", "completed", "unknown", "dead", "expired", "dropped")
"""The states of an accepted message, in the order of the columns."""

ACCOUNT_COLUMNS = (Column("TO", flexible=True), *(Column(name.upper()) for name in ("accepted", *STATES, "balanced")))

COLOURS = {"dead": "red", "unknown": "yellow", "dispatching": "cyan", "completed": "green"}


def build_message_rows(
    messages: Sequence[Mapping[str, Any]], names: Mapping[str, str], *, now: datetime
) -> Iterator[Row]:
    """Yield one row for each message; a workspace whose name is not known is shown with its id."""
    for message in messages:
        status = str(message["status"])
        yield (
            str(message["queue_id"]),
            Cell(status, COLOURS.get(status, "")),
            name_workspace(message["workspace_id"], names),
            name_workspace(message["caller_id"], names),
            format_age(message["enqueued_at"], now=now),
            str(message["attempts"]),
            describe_cause(message),
        )


def describe_cause(message: Mapping[str, Any]) -> str:
    """Return why a message waits, or why it was not delivered."""
    error = str(message.get("last_error") or "")
    match message["status"]:
        case "queued":
            return f"{message['reason']}: {error}" if error else str(message["reason"])
        case "completed" if _is_resolved(message):
            return f"resolved: {error}" if error else "resolved"
        case "completed" if message["result"] == "ok":
            return ""
        case "completed":
            return error or "the agent answered with an error"
        case _:
            return error


def build_attempt_rows(history: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield one row for each attempt and each command of an operator, the oldest first."""
    for attempt in history:
        yield str(attempt["at"])[:19], str(attempt["outcome"]), str(attempt.get("error") or "")


def build_account_rows(accounts: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Row]:
    """Yield one row for each workspace, by name, and one with the totals."""
    named = [(name_workspace(target["workspace_id"], names), target) for target in accounts["targets"]]
    for name, counts in [*sorted(named, key=lambda one: one[0]), ("total", accounts["total"])]:
        numbers = (str(counts[column]) for column in ("accepted", *STATES))
        yield name, *numbers, Cell("yes", "green") if counts["balanced"] else Cell("NO", "red")


def name_workspace(workspace_id: object, names: Mapping[str, str]) -> str:
    """Return the name of a workspace, else its id; `-` stands for a person or a program without a workspace."""
    return names.get(str(workspace_id), str(workspace_id)) if workspace_id else "-"


def _is_resolved(message: Mapping[str, Any]) -> bool:
    """Whether an operator has completed a message without its delivery."""
    return bool(message["history"]) and message["history"][-1]["outcome"] == "resolved"
