"""A fake agent that works on tasks, and callers that ask for them, in both generations of A2A."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import TARGET, FakeGateway
from tests.agents import EchoAgent

TASK_NOT_FOUND = -32001

STREAMING = frozenset({"message/stream", "SendStreamingMessage"})

WORKING = {"state": "working"}


@dataclass
class TaskAgent(EchoAgent):
    """Answers each message with a task of its own, and knows all its tasks."""

    task_ids: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    callers: list[str | None] = field(default_factory=list)
    """The caller of each request, as the plane tells it."""
    task_id: str = ""
    """The id of the next tasks; without it each one gets a new id."""
    lists_as: str = ""
    """How it answers a list of its tasks, if not with the list: by a `stream`, a `text`, or an `error`."""

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        method = message["method"]
        self.methods.append(method)
        self.callers.append(request.headers.get("x-molecule-caller"))
        if method in STREAMING:
            return await self.stream(request, message)
        if method in {"message/send", "SendMessage"}:
            return self._answer(message, self._wrap(message, self._start_task()))
        if method in {"tasks/list", "ListTasks"}:
            if self.lists_as:
                return await self._answer_without_list(request, message)
            tasks = [_build_task(id_) for id_ in self.task_ids]
            result = {"tasks": tasks, "totalSize": len(tasks), "pageSize": 50, "nextPageToken": "more"}
            return self._answer(message, result)
        return self._answer(message, {**_build_task(message["params"]["id"]), "history": []})

    async def _answer_without_list(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        match self.lists_as:
            case "stream":
                return await self.stream(request, message)
            case "text":
                return web.Response(text="tasks")
            case _:
                error = {"code": -32601, "message": "no lists"}
                return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": error})

    async def stream(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        id_ = self._start_task()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        update = {"kind": "status-update", "taskId": id_, "contextId": "c", "status": WORKING, "final": False}
        for result in (update, {**update, "final": True}):
            event = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
            await response.write(f": ping\r\n\r\ndata: {event}\r\n\r\n".encode())
        await response.write_eof()
        return response

    def _start_task(self) -> str:
        self.task_ids.append(self.task_id or str(uuid4()))
        return self.task_ids[-1]

    def _wrap(self, message: dict[str, Any], id_: str) -> dict[str, Any]:
        if message["method"] == "SendMessage":
            return {"task": {"id": id_, "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}
        return _build_task(id_)

    def _answer(self, message: dict[str, Any], result: Any) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})


def _build_task(id_: str) -> dict[str, Any]:
    return {"kind": "task", "id": id_, "contextId": "c", "status": WORKING}


def workspace(id_: str) -> Identity:
    return Identity(kind=Kind.WORKSPACE, name=id_, generation=1)


def org_token(org_id: str, name: str = "t") -> Identity:
    return Identity(kind=Kind.ORG, name=name, org_id=org_id)


def acting_token(org_id: str) -> Identity:
    """Return a token that acts for its whole organisation."""
    return Identity(kind=Kind.ORG, name="acting", org_id=org_id, scopes=frozenset({"a2a", "admin"}))


@dataclass
class Caller:
    """A caller of one workspace, each of whose requests is a call of its own."""

    gateway: FakeGateway
    identity: Identity
    target: str = TARGET

    async def call(self, method: str, *, headers: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:
        """Return the JSON body of the answer, which has the status 200."""
        head = (await self.request(method, headers=headers, **params)).head
        assert head.status == 200, head
        return json.loads(head.body)

    async def request(self, method: str, *, headers: dict[str, str] | None = None, **params: Any) -> pb.ReplyFrame:
        """Return the first frame of the answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": "r-1", "method": method, "params": params}).encode()
        return await self.send(body, headers=headers)

    async def send(self, body: bytes, *, headers: dict[str, str] | None = None) -> pb.ReplyFrame:
        """Return the first frame of the answer to a body."""
        return await self.gateway.next(await self.open(body, headers=headers))

    async def open(self, body: bytes, *, headers: dict[str, str] | None = None, x_timeout: str = "") -> int:
        """Begin a call; returns its number."""
        call_id = uuid4().int >> 66
        fields = {"headers": headers or {}, "timeout": x_timeout}
        await self.gateway.open(call_id, body, sender=self.identity, target=self.target, **fields)
        return call_id

    async def start_task(self, method: str = "message/send", **message: Any) -> str:
        """Send a message, and return the id of the task that answers it."""
        result = (await self.call(method, message=build_message(**message)))["result"]
        return result.get("task", result)["id"]

    async def open_stream(self, method: str, *, x_timeout: str = "", **params: Any) -> "EventStream":
        """Begin a streamed call; its first frame is the head of a stream."""
        body = json.dumps({"jsonrpc": "2.0", "id": "r-1", "method": method, "params": params}).encode()
        call_id = await self.open(body, x_timeout=x_timeout)
        head = (await self.gateway.next(call_id)).head
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream"), head
        return EventStream(self.gateway, call_id)

    async def is_refused(self, method: str, **params: Any) -> bool:
        """Whether the answer says that there is no such task."""
        answer = await self.call(method, **params)
        return answer["id"] == "r-1" and answer.get("error", {}).get("code") == TASK_NOT_FOUND


@dataclass
class EventStream:
    """The events of a streamed call."""

    gateway: FakeGateway
    call_id: int
    has_ended: bool = False
    is_interrupted: bool = False
    _unread: bytes = b""

    async def read(self) -> list[dict[str, Any]]:
        """Return the results of all events until the end of the stream."""
        results = []
        while (result := await self.next()) is not None:
            results.append(result)
        return results

    async def next(self) -> dict[str, Any] | None:
        """Return the result of the next event; `None` at the end."""
        while True:
            event, separator, rest = self._unread.partition(b"\n\n")
            if separator:
                self._unread = rest
                data = [line.removeprefix(b"data: ") for line in event.split(b"\n") if line.startswith(b"data: ")]
                if data:
                    return json.loads(data[0])["result"]
                continue
            frame = await self.gateway.next(self.call_id)
            if not frame.HasField("chunk"):
                self.has_ended, self.is_interrupted = True, frame.end.interrupted
                return None
            self._unread += frame.chunk.replace(b"\r\n", b"\n")


def build_message(**members: Any) -> dict[str, Any]:
    return {"messageId": str(uuid4()), "role": "user", "parts": [{"kind": "text", "text": "hi"}], **members}
