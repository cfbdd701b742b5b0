"""One RPC as the two sides of an ASGI request: receives its message, and sends its answer."""

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from starlette.types import Message

from gateway.a2a_grpc.answers import build_answer, build_status, get_code
from gateway.a2a_grpc.calls import CallLimits
from gateway.a2a_grpc.metadata import select_metadata
from gateway.a2a_grpc.methods import RpcMethod
from gateway.cors import RawHeaders
from gateway.errors import MalformedRequest, RequestTooSlow
from gateway.message_request import find_header
from gateway.rest_call import EVENT_STREAM, MAX_EVENT_BYTES
from molecule_a2a.errors import ConversionFailed
from molecule_a2a.event_streams import EventReader, StreamEvent
from molecule_a2a.model import Dialect
from molecule_a2a.rest.answers import render_failure
from molecule_a2a.rest.model import ERROR_EVENT, MIN_ERROR_STATUS
from services.chassis import strict_json
from services.chassis.large_bodies import run_by_size

MAX_READ_SECONDS = 30.0
"""Time in which a request has to arrive."""

STATUS_DETAILS = "grpc-status-details-bin"

INTERNAL_STATUS = 500

MAX_ENVELOPE_BYTES = 64 * 1024
"""What the event of a large answer may have around it."""


class RpcExchange:
    """The message of one RPC, and what its client has received."""

    def __init__(self, context: Any, method: RpcMethod, limits: CallLimits, address: str) -> None:  # noqa: ANN401 - generic in the stubs only
        self._context = context
        self._method = method
        self._limits = limits
        self._address = address
        self._has_received = False
        self._is_over = asyncio.Event()
        self._http = 0
        self._headers: RawHeaders = []
        self._is_stream = False
        self._pieces: list[bytes] = []
        self._events = EventReader(max_event_bytes=MAX_EVENT_BYTES + MAX_ENVELOPE_BYTES)
        self._failure: Status | None = None

    async def receive(self) -> Message:
        """Return the message; raises `ServiceError`. After it, wait for the end of the RPC."""
        if self._has_received:
            await self._is_over.wait()
            return {"type": "http.disconnect"}
        self._has_received = True
        try:
            async with asyncio.timeout(MAX_READ_SECONDS), self._limits.wait_to_read(self._address):
                message = await self._context.read()
        except TimeoutError:
            raise RequestTooSlow from None
        except _CLIENT_LEFT:
            self._is_over.set()
            return {"type": "http.disconnect"}
        if message is grpc.aio.EOF:
            raise MalformedRequest("the request has no message")
        return {"type": "http.request", "body": message, "more_body": False}

    async def send(self, message: Message) -> None:
        """Take a part of the answer. Events of a stream are sent at once; this waits until the client takes them."""
        try:
            await self._take(message)
        except _CLIENT_LEFT:
            self._is_over.set()

    async def finish(self) -> None:
        """Send what is left of the answer, and the status of an RPC that failed."""
        with suppress(*_CLIENT_LEFT):
            if not self._is_stream:
                await self._send_whole()
            if self._failure is not None:
                await self._abort(self._failure)

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._http, self._headers = message["status"], list(message.get("headers", ()))
            self._is_stream = self._http < MIN_ERROR_STATUS and _is_event_stream(self._headers)
            if self._http < MIN_ERROR_STATUS:
                await self._context.send_initial_metadata(select_metadata(self._headers))
        elif self._is_stream:
            for event in self._events.read(message.get("body", b"")):
                await self._send_event(event)
        else:
            self._pieces.append(message.get("body", b""))

    async def _send_whole(self) -> None:
        body = b"".join(self._pieces)
        if not self._http or self._http >= MIN_ERROR_STATUS:
            self._failure = build_status(_parse(body), self._http or INTERNAL_STATUS)
        else:
            await self._send_message(body)

    async def _send_event(self, event: StreamEvent) -> None:
        if event.data is None or self._is_over.is_set():
            return
        if any(line.removeprefix(b"event:").strip() == ERROR_EVENT.encode() for line in event.other_lines):
            self._fail(build_status(_parse(event.data), INTERNAL_STATUS))
        else:
            await self._send_message(event.data)

    async def _send_message(self, body: bytes) -> None:
        try:
            message = await run_by_size(len(body), _build_message, body, self._method)
        except ConversionFailed as failure:
            answer = render_failure(failure, Dialect.CURRENT)
            self._fail(build_status(answer.body, answer.status))
        else:
            await self._context.write(message)

    def _fail(self, status: Status) -> None:
        """End the answer with a status, and the call to the agent."""
        self._failure = status
        self._is_over.set()

    async def _abort(self, status: Status) -> None:
        trailing = ((STATUS_DETAILS, status.SerializeToString()), *select_metadata(self._headers))
        await self._context.abort(get_code(status), status.message, trailing_metadata=trailing)


_CLIENT_LEFT = (grpc.aio.InternalError, grpc.aio.UsageError)
"""What gRPC raises when something is read or sent in an RPC that is over, also because its message is too large."""


def _is_event_stream(headers: RawHeaders) -> bool:
    return find_header(headers, b"content-type").startswith(EVENT_STREAM)


def _build_message(body: bytes, method: RpcMethod) -> bytes:
    return build_answer(_parse(body), method)


def _parse(body: bytes) -> object:
    """Return the value of JSON that the gateway wrote; `None` for an empty text."""
    return strict_json.parse(body) if body else None
