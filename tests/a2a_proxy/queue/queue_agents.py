"""Fake agents for tests of the queue, and what a sender does."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.a2a_proxy.queue.model import MessageState, QueuedMessage
from tests.a2a_proxy.fake_gateway import TARGET, FakeGateway
from tests.a2a_proxy.running_proxy import RunningProxy
from tests.agents import BusyAgent, EchoAgent
from tests.waiting import eventually

ASYNC = {"prefer": "respond-async"}

STRICT = {"prefer": "handling=strict"}


@dataclass
class WorkingAgent(BusyAgent):
    """Answers while `may_answer` is set; says busy in the form that `manner` names, or works if it names none."""

    manner: str = ""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    message_ids: list[str] = field(default_factory=list)
    """The ids of the messages that it has received, in their order."""
    running: int = 0
    most_running: int = 0
    """The most messages that it has worked on at the same time."""

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        if self.manner:
            return await super().reply(request, message)
        self.message_ids.append(message["params"]["message"]["messageId"])
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.may_answer.wait()
            return await EchoAgent.reply(self, request, message)
        finally:
            self.running -= 1


def body_of(message_id: str | None = None, *, is_idempotent: bool = False, text: str = "hi", **params: Any) -> bytes:
    """Return a request with a message."""
    message: dict[str, Any] = {"messageId": message_id or str(uuid4()), "parts": [{"kind": "text", "text": text}]}
    if is_idempotent:
        message["metadata"] = {"idempotent": True}
    params = {"message": message, **params}
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": params}).encode()


class Sender:
    """Sends messages through a gateway, each in a call of its own."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self._calls = 1000

    async def send(self, message_id: str | None = None, **options: Any) -> pb.ReplyFrame:
        """Send a message and return the first frame of its answer; the options are those of the body or the call."""
        call_id = await self.start(message_id, **options)
        return await self.read(call_id)

    async def read(self, call_id: int) -> pb.ReplyFrame:
        """Return the next frame of a call."""
        return await self._gateway.next(call_id)

    async def start(self, message_id: str | None = None, **options: Any) -> int:
        """Send a message and return the number of its call."""
        self._calls += 1
        call = {name: options.pop(name) for name in ("sender", "target", "headers", "timeout") if name in options}
        await self._gateway.open(self._calls, body_of(message_id, **options), **call)
        return self._calls

    async def queue(self, message_id: str | None = None, **options: Any) -> str:
        """Send a message that is accepted into the queue; returns its queue id."""
        head = (await self.send(message_id, **options)).head
        assert head.status == 202, head
        return json.loads(head.body)["queue_id"]


async def wait_for_state(proxy: RunningProxy, queue_id: str, state: MessageState) -> QueuedMessage:
    """Wait until a message has a state, and return it."""

    async def find() -> QueuedMessage | None:
        async with proxy.queue.begin() as tx:
            found = await tx.get(queue_id)
        return found if found is not None and found.state is state else None

    return await eventually(find, within=15)


async def list_queued(proxy: RunningProxy, target: str = TARGET) -> list[QueuedMessage]:
    """Return the stored messages of a target, the oldest first."""
    async with proxy.queue.begin() as tx:
        return (await tx.list_messages(targets=[target], states=[], before=None, limit=500))[::-1]
