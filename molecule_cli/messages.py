"""Sends messages to agents in the dialect of their card, and waits for agents that are starting or waking."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from molecule_cli import dialect, plane_client, receipts, sse
from molecule_cli.answer_json import parse_json
from molecule_cli.dialect import Conversation, Dialect
from molecule_cli.errors import CliError, PlaneRefusal

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

RETRY_SECONDS = 2.0
"""Seconds until the next try where the plane names none."""

MAX_RETRY_SECONDS = 5.0
"""The longest time between two tries: the agent may be there sooner than the plane expects."""

RETRIED_STATUSES = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

STARTING_MEMBERS = ("waking", "starting", "restarting")
"""Members of a refusal that say that the agent is being started."""

STARTING_STATUSES = frozenset({"provisioning", "hibernating", "hibernated"})
"""Statuses of a workspace whose agent will be there soon."""

OnWait = Callable[[str], None]
"""Receives the reason for which the command waits."""


class MessageSender:
    """Sends one text to one workspace. A repeated try has the same message id, so the agent can recognise it."""

    def __init__(
        self,
        plane: "PlaneClient",
        workspace_id: str,
        *,
        deadline: float,
        on_wait: OnWait,
        conversation: Conversation = dialect.NEW_CONVERSATION,
    ) -> None:
        """`deadline` is a time of the monotonic clock, after which the message is not sent again."""
        self._conversation = conversation
        self._plane = plane
        self._path = f"/workspaces/{workspace_id}/a2a"
        self._deadline = deadline
        self._on_wait = on_wait

    def send(self, text: str) -> dict[str, Any]:
        """Return the whole answer: the agent's JSON-RPC, or the plane's receipt if the message is queued."""
        chosen = dialect.choose_dialect(self._card)
        with self._open_answer(chosen, chosen.send, text) as response:
            response.read()
            return _parse_response(response.content)

    def stream(self, text: str) -> Iterator[dict[str, Any]]:
        """Yield the events of the answer as they arrive; one if the agent does not stream."""
        chosen = dialect.choose_dialect(self._card)
        with self._open_answer(chosen, chosen.stream, text) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                response.read()
                yield _parse_response(response.content)
                return
            for event in sse.read_events(response.iter_bytes()):
                yield _parse_response(event)

    def can_stream(self) -> bool:
        """Whether the agent's card says that it sends its answer as it arises."""
        return dialect.can_stream(self._card)

    @cached_property
    def _card(self) -> object:
        try:
            return self._plane.request("GET", f"{self._path}/.well-known/agent-card.json")
        except PlaneRefusal:
            return None

    @contextmanager
    def _open_answer(self, chosen: Dialect, method: str, text: str) -> Iterator[httpx.Response]:
        """Send the message until it is accepted, refused for good, or the time to wait is over."""
        body = dialect.build_request(
            chosen, method, text, message_id=str(uuid4()), request_id=str(uuid4()), conversation=self._conversation
        )
        headers = {"A2A-Version": chosen.version} if chosen is dialect.A2A_1_0 else {}
        while True:
            with (
                self._plane.explain_errors(),
                self._plane.client.stream("POST", self._path, json=body, headers=headers) as response,
            ):
                if response.is_success:
                    yield response
                    return
                response.read()
                refusal = plane_client.build_refusal(response)
            delay = _choose_delay(refusal, response.headers.get("retry-after", ""))
            if delay is None or time.monotonic() + delay > self._deadline:
                raise refusal
            self._on_wait(str(refusal))
            time.sleep(delay)


def _choose_delay(refusal: PlaneRefusal, retry_after: str) -> float | None:
    """Return the seconds until another try; `None` if it could deliver the message twice, or would not help."""
    members = _find_members(refusal.answer)
    if refusal.status not in RETRIED_STATUSES or members.get("delivery") == "unknown":
        return None
    is_starting = any(members.get(name) is True for name in STARTING_MEMBERS)
    is_starting = is_starting or members.get("status") in STARTING_STATUSES
    if not (retry_after.isascii() and retry_after.isdigit()):
        return RETRY_SECONDS if is_starting else None
    seconds = float(retry_after)
    return seconds if refusal.status == HTTPStatus.TOO_MANY_REQUESTS else min(seconds, MAX_RETRY_SECONDS)


def _find_members(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a refusal, which a JSON-RPC error holds in its `data`."""
    error = answer.get("error")
    data = error.get("data") if isinstance(error, dict) else None
    return data if isinstance(data, dict) else answer


def check_answer(answer: object) -> dict[str, Any]:
    """Return an answer that is a JSON-RPC result or a receipt of the plane; raises `CliError` for any other."""
    members = answer if isinstance(answer, dict) else {}
    match members.get("error"):
        case dict(error):
            message = f"the agent refused: {error.get('message')} ({error.get('code')})"
        case str(error):
            message = f"the agent refused: {error}"
        case _ if "result" in members or receipts.is_receipt(members):
            return members
        case _:
            message = "what the agent answered is not JSON-RPC: molecule logs may show why"
    raise CliError(message)


def _parse_response(text: bytes | str) -> dict[str, Any]:
    try:
        answer = parse_json(text)
    except ValueError:
        answer = None
    return check_answer(answer)
