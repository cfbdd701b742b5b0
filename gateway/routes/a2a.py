"""Forwards A2A messages to the proxy. Plain ASGI without a `Request`, because this path has to be fast."""

import asyncio
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import credentials, errors, extended_card
from gateway.exchange import ExchangeCall, ExchangePool, error_from_refusal
from gateway.guards import MESSAGE, IdentityProvider
from gateway.json_format import embed_stored, encode_json
from gateway.middleware import REQUEST_ID_KEY, ROUTE_KEY
from gateway.routing import answer_other_method
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis import identity, strict_json, telemetry
from services.chassis.errors import ServiceError
from services.chassis.large_bodies import run_by_size

MAX_MESSAGE_BYTES = 10 * 1024 * 1024

MESSAGE_ROUTE = "/workspaces/{id}/a2a"
"""The path under which messages are counted in the metrics."""

MESSAGE_PATH = re.compile(r"/workspaces/([^/]*)/a2a/?")
"""The path of a message, with or without a final slash."""

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
            await answer_other_method(scope["method"], {"POST"})(scope, receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message."""
        response = MessageResponse(scope, receive, send)
        try:
            opening = await self._admit(scope, receive)
            if opening is None:
                return
            call = await self._exchanges.open(opening)
            try:
                await response.send_reply(call, opening, self._rewrite_card)
            finally:
                call.close()
        except ServiceError as error:
            await response.send_error(error)

    def _rewrite_card(self, scope: Scope, opening: pb.CallOpen, body: bytes) -> bytes:
        """Return the agent's body byte for byte, except for an extended card that the message asked for."""
        if not extended_card.may_hold_card(opening.body):
            return body
        url = f"{self._base_url(scope)}/workspaces/{opening.workspace_id}/a2a"
        return extended_card.rewrite_card(opening.body, body, url=url, bearer_needed=self._bearer_needed)

    async def _admit(self, scope: Scope, receive: Receive) -> pb.CallOpen | None:
        """Authenticate the caller and read the body; `None` if the client has left meanwhile."""
        workspace_id = _parse_target(scope["path"])
        headers = scope["headers"]
        credential = credentials.read_credential(scope["method"], headers)
        caller = await self._callers.identify(credential, MESSAGE.build_check(headers, workspace_id))
        body = await _read_body(headers, receive)
        if body is None:
            return None
        return pb.CallOpen(
            identity=identity.to_wire(caller),
            workspace_id=workspace_id,
            body=body,
            headers=_select_forwarded_headers(scope),
            timeout=_first_header(headers, b"x-timeout"),
            request_id=scope.get(REQUEST_ID_KEY, ""),
        )


class MessageResponse:
    """The response to one message, and the time that it takes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.perf_counter()

    async def send_reply(
        self, call: ExchangeCall, opening: pb.CallOpen, rewrite: Callable[[Scope, pb.CallOpen, bytes], bytes]
    ) -> None:
        """Send what the proxy replies. A client that leaves before the reply does not cancel the call."""
        frame = await call.next()
        if frame is None:
            return
        if frame.HasField("refused"):
            await self.send_error(error_from_refusal(frame.refused), frame.refused.agent_micros)
            return
        head = frame.head
        size = len(opening.body) + len(head.body)
        body = await run_by_size(size, rewrite, self._scope, opening, head.body) if head.complete else None
        headers = _render_head(head, body) + self._render_timing(head.agent_micros)
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})
        if body is None:
            await self._send_stream(call, opening)
        else:
            await self._send({"type": "http.response.body", "body": body})

    async def send_error(self, error: ServiceError, agent_micros: int = 0) -> None:
        """Send an error."""
        response: Response = errors.render_error(error)
        response.raw_headers += self._render_timing(agent_micros)
        await response(self._scope, self._receive, self._send)

    async def _send_stream(self, call: ExchangeCall, opening: pb.CallOpen) -> None:
        """Send a stream until it ends, and cancel the call if the client leaves first."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._cancel_on_disconnect(call))
            await self._send_chunks(call, opening)
            watching.cancel()

    async def _send_chunks(self, call: ExchangeCall, opening: pb.CallOpen) -> None:
        last_bytes = b"\n\n"
        while (frame := await call.next()) is not None:
            if not frame.HasField("chunk"):
                if frame.HasField("refused") or frame.end.interrupted:
                    await self._send(_render_chunk(_render_interruption(opening.body, last_bytes)))
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await self._send(_render_chunk(frame.chunk))
            call.report_taken(len(frame.chunk))
            last_bytes = (last_bytes + frame.chunk[-4:])[-4:]

    async def _cancel_on_disconnect(self, call: ExchangeCall) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        call.cancel()

    def _render_timing(self, agent_micros: int) -> list[tuple[bytes, bytes]]:
        """Return the time of the plane and of the agent as headers. No message waits in a queue on this path."""
        agent_ms = agent_micros / 1000
        overhead_ms = max(0.0, (time.perf_counter() - self._began) * 1000 - agent_ms)
        return [
            (b"x-molecule-overhead-ms", b"%.3f" % overhead_ms),
            (b"server-timing", b"agent;dur=%.3f, queue;dur=0" % agent_ms),
        ]


def _parse_target(path: str) -> str:
    """Return the id of the target in lower case; raises `MalformedRequest`."""
    found = MESSAGE_PATH.fullmatch(path)
    workspace_id = found[1].lower() if found else ""
    if not WORKSPACE_ID_PATTERN.fullmatch(workspace_id):
        raise errors.MalformedRequest("invalid workspace ID")
    return workspace_id


async def _read_body(headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes | None:
    """Return the body; `None` if the client has left. Raises `RequestTooLarge` as soon as the size is known."""
    declared = _first_header(headers, b"content-length")
    if declared.isdigit() and int(declared) > MAX_MESSAGE_BYTES:
        raise errors.RequestTooLarge(details={"max_bytes": MAX_MESSAGE_BYTES})
    pieces: list[bytes] = []
    room = MAX_MESSAGE_BYTES
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message["body"])
        room -= len(pieces[-1])
        if room < 0:
            raise errors.RequestTooLarge(details={"max_bytes": MAX_MESSAGE_BYTES})
        if not message.get("more_body", False):
            return b"".join(pieces)


def _select_forwarded_headers(scope: Scope) -> dict[str, str]:
    """Return the headers that the agent receives: the first of each name, and only ASCII values."""
    found: dict[str, str] = {}
    for name, value in reversed(scope["headers"]):
        if name in FORWARDED_HEADERS and value.isascii():
            found[name.decode()] = value.decode()
    if here := telemetry.current_traceparent():
        found["traceparent"] = here
    if "a2a-version" not in found and b"A2A-Version" in scope["query_string"]:
        found["a2a-version"] = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("A2A-Version", "")
    return found


def _first_header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")


def _render_head(head: pb.ReplyHead, body: bytes | None) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in head.headers.items()]
    if head.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:  # HTTP gives them neither body nor length
        return headers
    if body is not None:
        return [*headers, (b"content-length", b"%d" % len(body))]
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
