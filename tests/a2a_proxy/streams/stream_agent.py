"""An agent that streams numbered events of a task, and clients that read them with their ids."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from tests.a2a_proxy.fake_gateway import ADMIN, TARGET, FakeGateway, message_body
from tests.agents import EchoAgent

WORKING, COMPLETED = {"state": "working"}, {"state": "completed"}


@dataclass
class StreamAgent(EchoAgent):
    """Streams a task of 0.3: the task, an event for each number, and the end. It may pause or break before a number."""

    events: int = 3
    pauses: frozenset[int] = frozenset()
    breaks_before: int | None = None
    task_id: str = "t-1"
    refusal: dict[str, Any] | None = None
    """The JSON-RPC error that it answers subscriptions with."""
    refuses_by_event: bool = False
    """Whether the error is the only event of a stream, as agents of 0.3 send it."""
    shows_task: bool = True
    """Whether a stream begins with the task."""
    end: str = "whole"
    """What it does after the last event: `whole` ends the stream, `broken` breaks it, `open` leaves it open."""
    own_ids: bool = False
    """Whether it gives ids to its events."""
    go: asyncio.Event = field(default_factory=asyncio.Event)
    methods: list[str] = field(default_factory=list)
    last_event_ids: list[str | None] = field(default_factory=list)
    is_done: bool = False

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        self.methods.append(message["method"])
        self.last_event_ids.append(request.headers.get("last-event-id"))
        if self.refusal is not None and message["method"] in {"tasks/resubscribe", "SubscribeToTask"}:
            error = json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": self.refusal})
            if self.refuses_by_event:
                return web.Response(text=f"data: {error}\r\n\r\n", content_type="text/event-stream")
            return web.Response(text=error, content_type="application/json")
        return await self.stream(request, message)

    async def stream(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        ids = {"taskId": self.task_id, "contextId": "c"}
        if self.shows_task:
            task = {"kind": "task", "id": self.task_id, "contextId": "c", "status": WORKING}
            await self._write(response, message, task)
        for number in range(self.events):
            if number in self.pauses:
                await self.go.wait()
            if number == self.breaks_before:
                assert request.transport is not None
                await response.write(b'data: {"unfinished')
                request.transport.close()
                return response
            artifact = {"artifactId": "a", "parts": [{"kind": "text", "text": f"{number} "}]}
            await self._write(response, message, {"kind": "artifact-update", **ids, "artifact": artifact}, number)
        await self._write(response, message, {"kind": "status-update", **ids, "status": COMPLETED, "final": True})
        self.is_done = True
        if self.end == "broken":
            assert request.transport is not None
            request.transport.close()
            return response
        if self.end == "open":
            await self.go.wait()
        await response.write_eof()
        return response

    async def _write(
        self, response: web.StreamResponse, message: dict[str, Any], result: dict[str, Any], number: int = 0
    ) -> None:
        event = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        named = f"id: own-{number}\n" if self.own_ids else ""
        await response.write(f": ping\n\n{named}data: {event}\n\n".encode())


@dataclass
class StreamClient:
    """A client of one stream, which may be cut and resumed at any gateway."""

    gateway: FakeGateway
    identity: Any = ADMIN
    method: str = "message/stream"
    call_id: int = 0
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """The ids and the data of the events."""
    end: pb.ReplyFrame | None = None
    _unread: bytes = b""

    async def open(
        self, *, last_event_id: str | None = None, body: bytes | None = None, **fields: Any
    ) -> pb.ReplyFrame:
        """Begin the stream, or go on with it; returns the first frame of the answer."""
        self.call_id, self._unread, self.end = uuid4().int >> 66, b"", None
        headers = {} if last_event_id is None else {"last-event-id": last_event_id}
        body = body or message_body(self.method)
        await self.gateway.open(self.call_id, body, sender=self.identity, target=TARGET, headers=headers, **fields)
        return await self.gateway.next(self.call_id)

    async def resume(self, gateway: FakeGateway | None = None) -> pb.ReplyFrame:
        """Go on after the last event that was received, perhaps at another gateway."""
        self.gateway = gateway or self.gateway
        return await self.open(last_event_id=self.events[-1][0])

    async def cut(self) -> None:
        """Leave the stream as a client does whose connection breaks."""
        await self.gateway.send(pb.CallFrame(call_id=self.call_id, cancel=pb.CallCancel()))

    async def read(self, count: int = 1_000_000) -> list[dict[str, Any]]:
        """Return the data of the next events, up to `count` or the end of the stream."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            text, separator, rest = self._unread.partition(b"\n\n")
            if separator:
                self._unread = rest
                self._take(text, found)
                continue
            frame = await self.gateway.next(self.call_id)
            if not frame.HasField("chunk"):
                self.end = frame
                break
            self._unread += frame.chunk.replace(b"\r\n", b"\n")
            await self.gateway.send(pb.CallFrame(call_id=self.call_id, credit=pb.CallCredit(bytes=len(frame.chunk))))
        return found

    def _take(self, text: bytes, found: list[dict[str, Any]]) -> None:
        lines = dict(line.split(b": ", 1) for line in text.split(b"\n") if not line.startswith(b":"))
        if b"data" in lines:
            data = json.loads(lines[b"data"])
            self.events.append((lines.get(b"id", b"").decode(), data))
            found.append(data)

    @property
    def text(self) -> str:
        """The text of all events, joined."""
        results = [data.get("result", {}) for _, data in self.events]
        parts = [part for result in results for part in result.get("artifact", {}).get("parts", [])]
        return "".join(part["text"] for part in parts)
