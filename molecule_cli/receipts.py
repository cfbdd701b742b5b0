"""Follows a message that the plane accepted instead of answering it, until it has ended or the time to wait is over."""

import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from molecule_cli.errors import CliError, PlaneRefusal, TaskNotCompleted
from molecule_cli.exit_codes import NOT_FINISHED

if TYPE_CHECKING:
    from molecule_cli.messages import OnWait
    from molecule_cli.plane_client import PlaneClient

FIRST_DELAY_SECONDS = 0.2
"""Time until the first look at the message."""

DELAY_GROWTH = 1.5

MAX_DELAY_SECONDS = 2.0
"""The longest time between two looks."""

MIN_LOOK_SECONDS = 2.0
"""How long the last look may take although the time to wait is over meanwhile."""

MAX_LOOK_SECONDS = 10.0
"""How long one look may take; after that the next one may reach a plane that was restarted."""

OPEN_STATES = frozenset({"queued", "dispatching"})

PASSING_REFUSALS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""Refusals below 500 that say nothing about the message; the next look may succeed."""

ENDINGS = {
    "dead": "the message was not delivered (dead)",
    "expired": "the message was not delivered in time (expired)",
    "dropped": "the message was not delivered (dropped)",
    "unknown": "the agent may have received the message, but its answer did not arrive (unknown)",
}
"""What each state means in which a message ends without an answer."""

FETCHED_BY_AGENT = "queued until the agent fetches it"


def is_receipt(answer: Mapping[str, Any]) -> bool:
    """Whether an answer says that the plane has accepted the message, and is no answer of the agent.

    For an agent that fetches its messages, the result of the receipt is the task that stands for the message.
    """
    if answer.get("delivery_mode") == "poll" and "queue_id" in answer:
        return True
    if "result" in answer or "error" in answer:
        return False
    return "queue_id" in answer or "queued" in answer or answer.get("status") == "queued"


def describe_receipt(receipt: Mapping[str, Any]) -> str:
    """Return for what the message of a receipt waits."""
    if receipt.get("delivery_mode") == "poll":
        return FETCHED_BY_AGENT
    return str(receipt.get("message") or receipt.get("status") or "queued")


def build_unfinished(reason: str, queue_id: object) -> TaskNotCompleted:
    """Return the error for an accepted message that is not answered yet; without an id it cannot be looked up."""
    message = f"not answered yet: {reason}"
    if isinstance(queue_id, str):
        message = f"{message} ({queue_id}); {_build_next_step(queue_id, 'what became of it')}"
    return TaskNotCompleted(message, NOT_FINISHED)


def raise_unless_completed(message: Mapping[str, Any]) -> None:
    """Raise `CliError` for a message, as the plane shows it to its sender, that ended without reaching its agent.

    Also for a completed one if the agent's answer was an error of which nothing is stored.
    """
    status, cause = str(message["status"]), message.get("last_error")
    if status == "completed":
        if "response_body" in message or message.get("result") != "error":
            return
        text = "the agent received the message, and did not answer properly"
    else:
        text = ENDINGS.get(status, f"the message is {status}")
    if cause and cause != status:
        text = f"{text}: {cause}"
    if status == "unknown":
        text = f"{text}; look at the work of the agent before you send the message again"
    raise CliError(f"{text}; {_build_next_step(message['queue_id'], 'its attempts')}")


def describe_missing_answer(message: Mapping[str, Any]) -> str:
    """Return the sentence for a message that was completed, and has no answer."""
    note = message.get("last_error")
    text = "completed without an answer: the agent gave none, or an operator resolved it"
    return f"{text} (last entry: {note})" if note else text


def choose_delays() -> Iterator[float]:
    """Yield the seconds until each look, without an end."""
    delay = FIRST_DELAY_SECONDS
    while True:
        yield delay
        delay = min(delay * DELAY_GROWTH, MAX_DELAY_SECONDS)


class ReceiptFollower:
    """Looks at one accepted message until it has ended. It never sends the message again: the plane has it."""

    def __init__(self, plane: "PlaneClient", workspace_id: str, *, deadline: float, on_wait: "OnWait") -> None:
        """`deadline` is a time of the monotonic clock; `on_wait` receives each reason of the wait."""
        self._plane = plane
        self._path = f"/workspaces/{workspace_id}/a2a/queue"
        self._deadline = deadline
        self._on_wait = on_wait

    def follow(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message once it has ended, as the plane shows it to its sender.

        Raises `TaskNotCompleted` if the time is over before, if the receipt has no id, or if the plane does not show
        the message to the caller. While the plane cannot be reached it tries again.
        """
        first_reason = reason = describe_receipt(receipt)
        queue_id = receipt.get("queue_id")
        if not isinstance(queue_id, str) or time.monotonic() >= self._deadline:
            raise build_unfinished(reason, queue_id)
        self._on_wait(f"{reason} ({queue_id})")
        delays = choose_delays()
        while (remaining := self._deadline - time.monotonic()) > 0:
            time.sleep(min(next(delays), remaining))
            try:
                message = self._look(queue_id)
            except CliError as error:
                if _is_final(error):
                    raise build_unfinished(f"the plane does not show the message: {error}", queue_id) from None
                reason = str(error)
            else:
                if message["status"] not in OPEN_STATES:
                    return message
                reason = _describe_wait(message) or first_reason
            if reason != first_reason:
                self._on_wait(reason)
        raise build_unfinished(reason, queue_id)

    def _look(self, queue_id: str) -> dict[str, Any]:
        """Return the message; raises `CliError`."""
        timeout = min(max(self._deadline - time.monotonic(), MIN_LOOK_SECONDS), MAX_LOOK_SECONDS)
        with self._plane.explain_errors():
            message = self._plane.request("GET", f"{self._path}/{quote(queue_id, safe='')}", timeout_seconds=timeout)
            return {**message, "queue_id": queue_id, "status": str(message["status"])}


def _is_final(error: CliError) -> bool:
    """Whether further looks would fail as this one did."""
    if not isinstance(error, PlaneRefusal) or error.status in PASSING_REFUSALS:
        return False
    return error.status < HTTPStatus.INTERNAL_SERVER_ERROR


def _describe_wait(message: Mapping[str, Any]) -> str:
    """Return for what an open message waits; empty if it waits for what its receipt said."""
    if message["status"] == "dispatching":
        return "handed to the agent, which has not answered yet"
    cause = message.get("last_error")
    return f"not delivered yet: {cause}" if cause else ""


def _build_next_step(queue_id: object, shown: str) -> str:
    return f"with an admin token, molecule queue show {queue_id} shows {shown}"
