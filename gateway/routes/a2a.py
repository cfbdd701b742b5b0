"""Forwards A2A messages to the proxy. Plain ASGI without a `Request`, because this path has to be fast."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import credentials, errors, extended_card, rpc_errors
from gateway.cors import RawHeaders
from gateway.exchange import ExchangeCall, ExchangePool, error_from_refusal
from gateway.guards import MESSAGE, IdentityProvider
from gateway.json_format import embed_stored, encode_json
from gateway.message_body import ClientLeftError, MessageBody
from gateway.message_timing import MESSAGE_PATH, render_timing
from gateway.middleware import REQUEST_ID_KEY, ROUTE_KEY
from gateway.routing import answer_other_method
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis import identity, strict_json, telemetry
from services.chassis.errors import ServiceError
from services.chassis.large_bodies import run_by_size

MESSAGE_ROUTE = "/workspaces/{id}/a2a"
"""The path under which messages are counted in the metrics."""

WORKSPACE_ID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

FORWARDED_HEADERS = frozenset(
    {
        b"content-type",
        b"accept",
        b"a2a-version",
        b"a2a-extensions",
        b"x-a2a-extensions",
        b"last-event-id",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"prefer",
        b"x-molecule-hops",
    }
)
"""The request headers that the proxy receives; it forwards some of them to the agent."""

LIST_HEADERS = frozenset({b"a2a-extensions", b"x-a2a-extensions"})
"""Headers whose lines are one list."""

MAX_PARSED_PATHS = 4096
"""Paths of which the parsed form is kept."""

DISCONNECT_WATCH_DELAY_SECONDS = 0.05
"""Seconds after which a call is watched for the end of its client: most calls are over sooner."""

STREAM_INTERRUPTED = {"code": -32603, "message": "upstream stream interrupted"}


class MessageApp:
    """An ASGI application that forwards messages to the proxy and passes every other request to `fallback`."""

    def __init__(
        self,
        callers: IdentityProvider,
        exchanges: ExchangePool,
        *,
        fallback: ASGIApp,
        base_url: Callable[[Scope], str],
        bearer_needed: bool,
    ) -> None:
        """`base_url` returns the public address of the plane; extended cards say whether a bearer is needed."""
        self._callers = callers
        self._exchanges = exchanges
        self._fallback = fallback
        self._base_url = base_url
        self._bearer_needed = bearer_needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not MESSAGE_PATH.fullmatch(scope["path"]):
            await self._fallback(scope, receive, send)
            return
        scope[ROUTE_KEY] = MESSAGE_ROUTE
        if scope["method"] == "POST":
            await self._forward(scope, receive, send)
        else:
            other = answer_other_method(scope["method"], {"POST"})
            other.raw_headers += render_timing(time.perf_counter())
            await other(scope, receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message."""
        response = MessageResponse(scope, receive, send)
        try:
            request = await self._admit(scope, receive, response)
            call = await self._exchanges.open(request.opening)
            try:
                await self._converse(request, call, response)
            finally:
                call.close()
        except ServiceError as error:
            await response.send_error(error)
        except ClientLeftError:
            return

    async def _converse(self, request: "MessageRequest", call: ExchangeCall, response: "MessageResponse") -> None:
        """Send the rest of a large body once the proxy has room for it, and what the proxy replies."""
        if request.opening.body_bytes:
            frame = await call.next()
            if frame is None or not frame.HasField("admitted"):
                await response.send_frame(frame, request)
                return
            try:
                await request.body.read_rest()
            except (ServiceError, ClientLeftError):
                call.cancel()
                raise
            call.send_body(request.body.join())
        await response.send_reply(call, request, self._rewrite_card)

    def _rewrite_card(self, scope: Scope, workspace_id: str, request: bytes, answer: bytes) -> bytes:
        """Return the agent's body byte for byte, except for an extended card that the message asked for."""
        if not extended_card.may_hold_card(request):
            return answer
        url = f"{self._base_url(scope)}/workspaces/{workspace_id}/a2a"
        return extended_card.rewrite_card(request, answer, url=url, bearer_needed=self._bearer_needed)

    async def _admit(self, scope: Scope, receive: Receive, response: "MessageResponse") -> "MessageRequest":
        """Authenticate the caller and read the body, of a large one the beginning; raises `ClientLeftError`."""
        workspace_id = _parse_target(scope["path"])
        headers = scope["headers"]
        credential = credentials.read_credential(scope["method"], headers)
        caller = await self._callers.identify(credential, MESSAGE.build_check(headers, workspace_id))
        body = MessageBody(receive, declared=_first_header(headers, b"content-length"))
        await body.read_beginning()
        announced = body.announced_bytes
        opening = pb.CallOpen(
            identity=identity.to_wire(caller),
            workspace_id=workspace_id,
            timeout=_first_header(headers, b"x-timeout"),
            request_id=scope.get(REQUEST_ID_KEY, ""),
            elapsed_micros=response.measure_micros(),
        )
        for name, value in _select_forwarded_headers(scope).items():
            opening.headers[name] = value
        if announced:
            opening.body_bytes = announced
        else:
            opening.body = body.join()
        return MessageRequest(opening, body)


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A message as it is sent to the proxy, and its body."""

    opening: pb.CallOpen
    body: MessageBody


Rewrite = Callable[[Scope, str, bytes, bytes], bytes]
"""Returns the body for the client, from the id of the workspace, the request and the agent's body."""


class MessageResponse:
    """The response to one message, and the time that it takes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.perf_counter()

    def measure_micros(self) -> int:
        """Return how long the request has taken so far, in microseconds."""
        return int((time.perf_counter() - self._began) * 1_000_000)

    async def send_reply(self, call: ExchangeCall, request: MessageRequest, rewrite: Rewrite) -> None:
        """Send what the proxy replies, and cancel the call if the client leaves first."""
        frame = await call.next_within(DISCONNECT_WATCH_DELAY_SECONDS)
        if frame is not None and not _begins_stream(frame):
            await self.send_frame(frame, request, rewrite)
            return
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._cancel_on_disconnect(call))
            frame = frame or await call.next()
            await self.send_frame(frame, request, rewrite)
            if frame is not None and _begins_stream(frame):
                await self._send_chunks(call, request, has_size=frame.head.body_bytes > 0)
            watching.cancel()

    async def send_frame(
        self, frame: pb.ReplyFrame | None, request: MessageRequest | None = None, rewrite: Rewrite | None = None
    ) -> None:
        """Send the first frame of a reply: a refusal, an answer, or the head of a stream; nothing without a frame."""
        if frame is None:
            return
        if frame.HasField("refused"):
            refused = frame.refused
            timing = self._render_timing(refused.agent_micros, refused.queue_micros)
            sent = b"" if request is None else request.body.join()
            await self._send_error(error_from_refusal(refused), timing, sent)
            return
        head = frame.head
        body = None
        if head.complete:
            body = head.body
            if request is not None and rewrite is not None:
                message = request.body.join()
                size = len(message) + len(body)
                body = await run_by_size(size, rewrite, self._scope, request.opening.workspace_id, message, body)
        headers = _render_head(head, body) + self._render_timing(head.agent_micros, head.queue_micros)
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})
        if body is not None:
            await self._send({"type": "http.response.body", "body": body})

    async def send_error(self, error: ServiceError) -> None:
        """Send an error that the gateway itself found."""
        await self._send_error(error, self._render_timing(), b"")

    async def _send_error(self, error: ServiceError, timing: RawHeaders, request: bytes) -> None:
        """Send an error as JSON-RPC to a caller that states a version of A2A."""
        version = _find_version(self._scope)
        response: Response = (
            rpc_errors.render_rpc_error(error, request_id=_find_request_id(request), version=version)
            if version
            else errors.render_error(error)
        )
        response.raw_headers += timing
        await response(self._scope, self._receive, self._send)

    async def _send_chunks(self, call: ExchangeCall, request: MessageRequest, *, has_size: bool) -> None:
        """Send a stream, or a body whose size is known."""
        last_bytes = b"\n\n"
        while (frame := await call.next()) is not None:
            if not frame.HasField("chunk"):
                is_interrupted = frame.HasField("refused") or frame.end.interrupted
                if is_interrupted and has_size:
                    return  # the server closes the connection, so that the client sees that the body is not whole
                if is_interrupted:
                    await self._send(_render_chunk(_render_interruption(request.body.join(), last_bytes)))
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await self._send(_render_chunk(frame.chunk))
            call.report_taken(len(frame.chunk))
            last_bytes = (last_bytes + frame.chunk[-4:])[-4:]

    async def _cancel_on_disconnect(self, call: ExchangeCall) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        call.cancel()

    def _render_timing(self, agent_micros: int = 0, queue_micros: int = 0) -> RawHeaders:
        return render_timing(self._began, agent_micros=agent_micros, queue_micros=queue_micros)


def _begins_stream(frame: pb.ReplyFrame) -> bool:
    return frame.HasField("head") and not frame.head.complete


@lru_cache(MAX_PARSED_PATHS)
def _parse_target(path: str) -> str:
    """Return the id of the target in lower case; raises `MalformedRequest`."""
    found = MESSAGE_PATH.fullmatch(path)
    workspace_id = found[1].lower() if found else ""
    if not WORKSPACE_ID_PATTERN.fullmatch(workspace_id):
        raise errors.MalformedRequest("invalid workspace ID")
    return workspace_id


def _select_forwarded_headers(scope: Scope) -> dict[str, str]:
    """Return the headers for the proxy: the first of each name, lists joined, and only ASCII values."""
    found: dict[str, str] = {}
    for name, value in reversed(scope["headers"]):
        if name not in FORWARDED_HEADERS or not value.isascii():
            continue
        text, first = value.decode(), name.decode()
        found[first] = f"{text}, {found[first]}" if name in LIST_HEADERS and first in found else text
    if here := telemetry.current_traceparent():
        found["traceparent"] = here
    if version := _find_version(scope):
        found["a2a-version"] = version
    return found


def _find_version(scope: Scope) -> str:
    """Return the A2A version that a caller states in a header, or else in its query; empty for none."""
    version = _first_header(scope["headers"], b"a2a-version").strip()
    if not version and b"A2A-Version" in scope["query_string"]:
        version = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("A2A-Version", "").strip()
    return version if version.isascii() else version.encode("ascii", "replace").decode()


def _first_header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> str:
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


def _render_head(head: pb.ReplyHead, body: bytes | None) -> list[tuple[bytes, bytes]]:
    named = head.headers
    headers = [(name.encode(), named[name].encode("latin-1", "replace")) for name in named]
    if head.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:  # HTTP gives them neither body nor length
        return headers
    if body is not None:
        return [*headers, (b"content-length", b"%d" % len(body))]
    if head.body_bytes:
        return [*headers, (b"content-length", b"%d" % head.body_bytes)]
    kept = [(name, value) for name, value in headers if name != b"cache-control"]
    return [*kept, (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


def _render_chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _render_interruption(request: bytes, last_bytes: bytes) -> bytes:
    """Return the event that reports a broken stream; an unfinished event is terminated before it."""
    event = {"jsonrpc": "2.0", "id": _find_request_id(request), "error": STREAM_INTERRUPTED}
    closing = b"" if last_bytes.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")) else b"\n\n"
    return closing + b"data: " + encode_json(event) + b"\n\n"


def _find_request_id(request: bytes) -> msgspec.Raw:
    """Return the id of a request exactly as its client wrote it."""
    return embed_stored(strict_json.find_member(request, "id") or b"null")
