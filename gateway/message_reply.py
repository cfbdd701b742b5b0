"""Sends the reply to a message, in the form that its client reads, and watches for the end of the client."""

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.cors import RawHeaders
from gateway.errors import A2A_PROXY
from gateway.exchange import ExchangeCall, error_from_refusal
from gateway.message_body import ClientLeftError
from gateway.message_request import MessageRequest
from gateway.message_timing import render_timing
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis.errors import Code, ServiceError

DISCONNECT_WATCH_DELAY_SECONDS = 0.05
"""Seconds after which a call is watched for the end of its client: most calls are over sooner."""

STREAM_HEADERS: RawHeaders = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
"""Headers of a stream, which no proxy may buffer or keep."""


@dataclass(frozen=True, slots=True)
class RenderedHead:
    """The beginning of a response; the whole of it if it has a body."""

    status: int
    headers: RawHeaders
    body: bytes | None
    """`None` for a stream."""


class ReplyForm(Protocol):
    """How the reply to one message is written for its client."""

    takes_whole_answers: bool
    """Whether a large answer, which comes in chunks, is rendered as a whole."""

    def keep_answer(self, size: int) -> bool:
        """Return whether there is memory for a large answer that is rendered as a whole."""
        ...

    def render_error(self, error: ServiceError) -> Response:
        """Return the response for an error of the plane."""
        ...

    async def render_head(self, head: pb.ReplyHead) -> RenderedHead:
        """Return the beginning of a reply, or all of it."""
        ...

    async def convert_chunk(self, chunk: bytes) -> bytes:
        """Return what the client receives for the next bytes of a stream."""
        ...

    def end_stream(self, *, is_interrupted: bool) -> bytes:
        """Return the last bytes of a stream."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the client has received the last event of a stream, so that the agent need not go on."""
        ...


class MessageResponse:
    """The response to one message, and the time that it takes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, form: ReplyForm) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._form = form
        self._began = time.perf_counter()

    def measure_micros(self) -> int:
        """Return how long the request has taken so far, in microseconds."""
        return int((time.perf_counter() - self._began) * 1_000_000)

    async def converse(self, request: MessageRequest, call: ExchangeCall) -> None:
        """Send the rest of a large body once the proxy has room for it, and what the proxy replies."""
        if request.opening.body_bytes:
            frame = await call.next()
            if frame is None or not frame.HasField("admitted"):
                await self._send_frame(frame)
                return
            try:
                await request.body.read_rest()
                body = await request.prepare_body()
            except (ServiceError, ClientLeftError):
                call.cancel()
                raise
            call.send_body(body)
            del body
            if request.convert is not None:
                request.body.drop()  # the reply is converted without it
        await self._send_reply(call)

    async def send_error(self, error: ServiceError) -> None:
        """Send an error that the gateway itself found."""
        await self._send_error(error, self._render_timing())

    async def _send_reply(self, call: ExchangeCall) -> None:
        """Send what the proxy replies, and cancel the call if the client leaves first."""
        frame = await call.next_within(DISCONNECT_WATCH_DELAY_SECONDS)
        if frame is not None and not _begins_stream(frame):
            await self._send_frame(frame)
            return
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._cancel_on_disconnect(call))
            frame = frame or await call.next()
            if frame is not None and frame.head.body_bytes and self._form.takes_whole_answers:
                frame = await self._collect_answer(call, frame)
            if await self._send_frame(frame):
                await self._send_chunks(call, has_size=frame is not None and frame.head.body_bytes > 0)
            elif frame is not None and _begins_stream(frame):
                call.cancel()
            watching.cancel()

    async def _collect_answer(self, call: ExchangeCall, frame: pb.ReplyFrame) -> pb.ReplyFrame | None:
        """Return the whole of a large answer that comes in chunks, or why there is none."""
        if not self._form.keep_answer(frame.head.body_bytes):
            call.cancel()
            return _build_unreadable(frame)
        pieces = []
        while (part := await call.next()) is not None:
            if part.HasField("chunk"):
                pieces.append(part.chunk)
                call.report_taken(len(part.chunk))
            elif part.HasField("refused") or part.end.interrupted:
                return _build_unreadable(frame)
            else:
                whole = pb.ReplyFrame(call_id=frame.call_id, head=frame.head)
                whole.head.body, whole.head.complete = b"".join(pieces), True
                return whole
        return None

    async def _send_frame(self, frame: pb.ReplyFrame | None) -> bool:
        """Send the first frame of a reply: a refusal, an answer, or the head of a stream; nothing without a frame.

        Return whether the chunks of a stream follow.
        """
        if frame is None:
            return False
        if frame.HasField("refused"):
            refused = frame.refused
            timing = self._render_timing(refused.agent_micros, refused.queue_micros)
            await self._send_error(error_from_refusal(refused), timing)
            return False
        head = frame.head
        rendered = await self._form.render_head(head)
        headers = rendered.headers + self._render_timing(head.agent_micros, head.queue_micros)
        await self._send({"type": "http.response.start", "status": rendered.status, "headers": headers})
        if rendered.body is not None:
            await self._send({"type": "http.response.body", "body": rendered.body})
        return rendered.body is None

    async def _send_error(self, error: ServiceError, timing: RawHeaders) -> None:
        response = self._form.render_error(error)
        response.raw_headers += timing
        await response(self._scope, self._receive, self._send)

    async def _send_chunks(self, call: ExchangeCall, *, has_size: bool) -> None:
        """Send a stream, or a body whose size is known."""
        form = self._form
        while (frame := await call.next()) is not None:
            if not frame.HasField("chunk"):
                is_interrupted = frame.HasField("refused") or frame.end.interrupted
                if is_interrupted and has_size:
                    return  # the server closes the connection, so that the client sees that the body is not whole
                last = form.end_stream(is_interrupted=is_interrupted)
                if last:
                    await self._send(_render_chunk(last))
                await self._send(_END)
                return
            converted = await form.convert_chunk(frame.chunk)
            if converted:
                await self._send(_render_chunk(converted))
            if form.is_over:
                call.cancel()
                await self._send(_END)
                return
            call.report_taken(len(frame.chunk))

    async def _cancel_on_disconnect(self, call: ExchangeCall) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        call.cancel()

    def _render_timing(self, agent_micros: int = 0, queue_micros: int = 0) -> RawHeaders:
        return render_timing(self._began, agent_micros=agent_micros, queue_micros=queue_micros)


def render_headers(head: pb.ReplyHead, body: bytes | None) -> RawHeaders:
    """Return the headers of a reply whose body is `body`, or a stream."""
    named = head.headers
    headers = [(name.encode(), named[name].encode("latin-1", "replace")) for name in named]
    if head.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:  # HTTP gives them neither body nor length
        return headers
    if body is not None:
        return [*headers, (b"content-length", b"%d" % len(body))]
    if head.body_bytes:
        return [*headers, (b"content-length", b"%d" % head.body_bytes)]
    return [*((name, value) for name, value in headers if name != b"cache-control"), *STREAM_HEADERS]


def _begins_stream(frame: pb.ReplyFrame) -> bool:
    return frame.HasField("head") and not frame.head.complete


def _build_unreadable(frame: pb.ReplyFrame) -> pb.ReplyFrame:
    """Return the refusal for an answer that broke off, or that is too large for the memory that is left."""
    refused = pb.CallRefused(
        code=int(Code.UNAVAILABLE),
        reason="ANSWER_UNREADABLE",
        domain=A2A_PROXY,
        message="failed to read agent response",
        details={"delivery_confirmed": "true"},
        agent_micros=frame.head.agent_micros,
        queue_micros=frame.head.queue_micros,
    )
    return pb.ReplyFrame(call_id=frame.call_id, refused=refused)


def _render_chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


_END = {"type": "http.response.body", "body": b"", "more_body": False}
