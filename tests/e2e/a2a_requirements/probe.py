"""What a check of the requirements works with: callers of the three agents, and what most checks ask of them."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.a2a_proxy.push.push_agents import Receiver
from tests.e2e.a2a_requirements.agents import FULL, PLAIN, STRICT
from tests.e2e.a2a_requirements.caller import Caller
from tests.e2e.a2a_requirements.executor import REQUIRED_EXTENSION
from tests.e2e.a2a_requirements.reply import JsonObject, Reply, get_state
from tests.waiting import eventually

EXTENSION_HEADERS = {
    "A2A-Extensions": REQUIRED_EXTENSION,
    "X-A2A-Extensions": REQUIRED_EXTENSION,
}
"""The headers of 1.0 and of 0.3 in which a caller declares the extension that the strict agent requires."""

KEPT_WORDS = frozenset({"wait", "hold", "auth"})
"""A message with one of these leaves its task open."""

ENDED_STATES = ("COMPLETED", "FAILED", "CANCELED", "REJECTED")

UNKNOWN_TASK = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Probe:
    """The callers of one dialect, and a receiver of push notifications."""

    callers: Mapping[str, Caller]
    receiver: Receiver
    given_back: Collection[str] | None = None
    """The messages that an agent has fetched and given back; `None` for an agent that does not fetch its messages."""

    @property
    def is_polled(self) -> bool:
        """Whether the agent fetches its messages, so that it answers after the plane has answered."""
        return self.given_back is not None

    @property
    def full(self) -> Caller:
        return self.callers[FULL]

    @property
    def plain(self) -> Caller:
        return self.callers[PLAIN]

    @property
    def strict(self) -> Caller:
        return self.callers[STRICT]

    @property
    def is_legacy(self) -> bool:
        return self.full.generation == "0.3"

    async def send(self, text: str, configuration: JsonObject | None = None, **members: Any) -> Reply:
        """Send a text to the agent that has every capability."""
        return await self.full.call("send", build_send(text, configuration, **members))

    async def make_task(self, text: str, **members: Any) -> JsonObject:
        """Return the task that a message makes, as the agent leaves it."""
        task = (await self.send(text, **members)).task
        if self.given_back is None:
            return task
        if KEPT_WORDS & set(text.split()):
            await self._wait_until_given_back(task)
            return task
        return await eventually(lambda: self._read_ended(task["id"]))

    async def _wait_until_given_back(self, task: JsonObject) -> None:
        """Wait until the state of an open task changes no more."""
        given_back = self.given_back
        if given_back is not None:
            await eventually(lambda: task["id"] in given_back)

    async def _read_ended(self, task_id: str) -> JsonObject | None:
        task = (await self.get(task_id)).task
        return task if get_state(task) in ENDED_STATES else None

    async def start_held_task(self) -> JsonObject:
        """Return a task that is worked on until it is canceled."""
        task = (await self.send("hold", {"returnImmediately": True})).task
        await self._wait_until_given_back(task)
        return task

    async def get(self, task_id: str, **params: Any) -> Reply:
        return await self.full.call("get", {"id": task_id, **params})

    async def list_tasks(self, **params: Any) -> JsonObject:
        """Return a page of tasks."""
        page: JsonObject = (await self.full.call("list", params)).result
        return page

    async def stream(self, text: str, **members: Any) -> list[Reply]:
        """Return all events of the stream that answers a text."""
        return [event async for event in self.full.events("stream", build_send(text, **members))]

    async def cancel(self, task_id: str) -> Reply:
        """Cancel an open task; one in an inbox as soon as its agent has given it back."""

        async def cancel() -> Reply | None:
            reply = await self.full.call("cancel", {"id": task_id})
            return None if self.is_polled and reply.reason == "TASK_NOT_CANCELABLE" else reply

        return await eventually(cancel)

    def subscribe(self, task_id: str) -> AsyncIterator[Reply]:
        return self.full.events("subscribe", {"id": task_id})


def build_message(text: str, **members: Any) -> JsonObject:
    """Return a message of a user with an id of its own."""
    return {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": [{"text": text}], **members}


def build_send(text: str, configuration: JsonObject | None = None, **members: Any) -> JsonObject:
    """Return the parameters of a message."""
    return {"message": build_message(text, **members)} | ({"configuration": configuration} if configuration else {})


async def first(events: AsyncIterator[Reply]) -> Reply:
    """Return the first event of a stream and leave the stream."""
    try:
        return await anext(events)
    finally:
        await events.aclose()  # type: ignore[attr-defined]
