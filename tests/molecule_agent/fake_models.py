"""Fake model providers: real HTTP servers that speak the wire formats of the Messages API and of Chat Completions."""

import json
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model answers to one request."""

    pieces: Sequence[str] = ()
    calls: Sequence[tuple[str, str]] = ()
    """Names of tools and the JSON of their arguments."""
    stop: str = ""
    """The reason of the end, in the words of the provider; empty for the usual one."""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False
    """The connection breaks after the pieces."""
    ends_early: bool = False
    """The stream ends after the pieces as if it were whole."""
    error_inside: str = ""
    """The type of the error that the stream reports after the pieces."""


class FakeModel:
    """Answers the requests in the order of `replies`, and records them."""

    path: str

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post(self.path, self._answer)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield
        finally:
            await runner.cleanup()

    @abstractmethod
    def encode(self, reply: Reply) -> Iterator[bytes]: ...

    @abstractmethod
    def encode_end(self, reply: Reply) -> Iterator[bytes]: ...

    @abstractmethod
    def encode_error(self, kind: str) -> bytes: ...

    @abstractmethod
    def describe_error(self, status: int) -> dict[str, Any]: ...

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        reply = self.replies.pop(0)
        if reply.status != 200:
            error = self.describe_error(reply.status)
            return web.json_response(error, status=reply.status, headers=dict(reply.headers))
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for event in self.encode(reply):
            await answer.write(event)
        if reply.is_cut:
            request.transport.close()
            return answer
        if reply.error_inside:
            await answer.write(self.encode_error(reply.error_inside))
        elif not reply.ends_early:
            for event in self.encode_end(reply):
                await answer.write(event)
        return answer


class FakeMessagesApi(FakeModel):
    """The Messages API of Anthropic."""

    path = "/v1/messages"

    def encode(self, reply: Reply) -> Iterator[bytes]:
        usage = {"input_tokens": 3, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
        yield _encode_named("message_start", message=message | {"stop_reason": None, "stop_sequence": None})
        index = 0
        if reply.pieces:
            yield _encode_named("content_block_start", index=0, content_block={"type": "text", "text": ""})
            for piece in reply.pieces:
                yield _encode_named("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
            if not (reply.is_cut or reply.ends_early or reply.error_inside):
                yield _encode_named("content_block_stop", index=0)
            index = 1
        for number, (name, arguments) in enumerate(reply.calls, index):
            block = {"type": "tool_use", "id": f"call_{number}", "name": name, "input": {}}
            yield _encode_named("content_block_start", index=number, content_block=block)
            for start in range(0, len(arguments), 5):
                delta = {"type": "input_json_delta", "partial_json": arguments[start : start + 5]}
                yield _encode_named("content_block_delta", index=number, delta=delta)
            yield _encode_named("content_block_stop", index=number)
        yield _encode_named("ping")

    def encode_end(self, reply: Reply) -> Iterator[bytes]:
        reason = reply.stop or ("tool_use" if reply.calls else "end_turn")
        delta = {"stop_reason": reason, "stop_sequence": None}
        yield _encode_named("message_delta", delta=delta, usage={"output_tokens": 9})
        yield _encode_named("message_stop")

    def encode_error(self, kind: str) -> bytes:
        return _encode_named("error", error={"type": kind, "message": "no room, says secret-marker"})

    def describe_error(self, status: int) -> dict[str, Any]:
        return {"type": "error", "error": {"type": f"error_{status}", "message": "refused, says secret-marker"}}


class FakeChatApi(FakeModel):
    """The Chat Completions API of OpenAI."""

    path = "/v1/chat/completions"

    def encode(self, reply: Reply) -> Iterator[bytes]:
        yield _encode_chunk({"role": "assistant", "content": ""})
        for piece in reply.pieces:
            yield _encode_chunk({"content": piece})
        for number, (name, arguments) in enumerate(reply.calls):
            function = {"name": name, "arguments": ""}
            yield _encode_chunk(
                {"tool_calls": [{"index": number, "id": f"call_{number}", "type": "function", "function": function}]}
            )
            for start in range(0, len(arguments), 5):
                part = {"index": number, "function": {"arguments": arguments[start : start + 5]}}
                yield _encode_chunk({"tool_calls": [part]})

    def encode_end(self, reply: Reply) -> Iterator[bytes]:
        yield _encode_chunk({}, reply.stop or ("tool_calls" if reply.calls else "stop"))
        yield b"data: [DONE]\n\n"

    def encode_error(self, kind: str) -> bytes:
        return _encode_data({"error": {"type": kind, "message": "no room, says secret-marker", "code": None}})

    def describe_error(self, status: int) -> dict[str, Any]:
        return {"error": {"type": f"error_{status}", "message": "refused, says secret-marker", "code": None}}


def _encode_named(kind: str, **event: Any) -> bytes:
    return f"event: {kind}\n".encode() + _encode_data({"type": kind, **event})


def _encode_chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _encode_data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def _encode_data(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()
