"""Messages: plain ASGI, because this is the path that has to be fast."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import credentials, errors, extended_card
from gateway.authentication import parse_claimed_workspace
from gateway.exchange import ExchangeCall, ExchangePool, error_from_refusal
from gateway.json_format import json_response
from gateway.middleware import REQUEST_ID_KEY, ROUTE_KEY
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.auth.v1 import auth_pb2
from services.chassis import identity, telemetry
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
"""Bytes of the largest message."""

MESSAGE_ROUTE = "/workspaces/{id}/a2a"
"""What metrics call it."""

MESSAGE_PATH = re.compile(r"/workspaces/([^/]*)/a2a/?")
"""The path of a message; a final slash changes nothing."""

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
    }
)
"""The headers that travel with a message."""

STREAM_INTERRUPTED = {"code": -32603, "message": "upstream stream interrupted"}


class Callers(Protocol):
    """Knows who is calling."""

    async def identify(
        self,
        bearer: str | None,
        gate: auth_pb2.Gate.ValueType,
        *,
        scope: str = "",
        workspace_id: str = "",
        claimed: str = "",
        session: str | None = None,
    ) -> Identity:
        """The identity to act under; raises what auth refuses with."""
        ...


class MessageApp:
    """Carries messages to the proxy and their answers back; every other path is for the application beside it."""

    def __init__(
        self,
        callers: Callers,
        exchanges: ExchangePool,
        *,
        fallback: ASGIApp,
        base_url: Callable[[Scope], str],
        bearer_needed: bool,
    ) -> None:
        """`base_url` is the public address of the plane; with `bearer_needed` the cards that pass say so."""
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
            await self._carry(scope, receive, send)
        else:
            await json_response({"error": "method not allowed"}, 405, headers={"Allow": "POST"})(scope, receive, send)

    async def _carry(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message."""
        passage = MessageResponse(scope, receive, send)
        try:
            opening = await self._admitted(passage)
            if opening is None:
                return
            call = await self._exchanges.open(opening)
            try:
                await passage.answer(call, opening, self._shown)
            finally:
                call.close()
        except ServiceError as error:
            await passage.refuse(error)

    def _shown(self, scope: Scope, opening: pb.CallOpen, answer: bytes) -> bytes:
        """The answer as the client sees it: byte for byte, but for the cards of agents that are asked for theirs."""
        if not extended_card.may_hold_card(opening.body):
            return answer
        url = f"{self._base_url(scope)}/workspaces/{opening.workspace_id}/a2a"
        return extended_card.rewrite_card(opening.body, answer, url=url, bearer_needed=self._bearer_needed)

    async def _admitted(self, passage: "MessageResponse") -> pb.CallOpen | None:
        """The call to open, once the caller may knock here; `None` if the client has left meanwhile."""
        scope = passage.scope
        workspace_id = _parse_target(scope["path"])
        headers = scope["headers"]
        shown = credentials.read_credential(scope["method"], headers)
        caller = await self._callers.identify(
            shown.bearer,
            auth_pb2.GATE_A2A,
            scope="a2a",
            workspace_id=workspace_id,
            claimed=parse_claimed_workspace(headers),
            session=shown.session,
        )
        body = await _read_body(headers, passage.receive)
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
    """One message through the gateway, and the clock that says what it cost."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self._began = time.perf_counter()

    async def answer(
        self, call: ExchangeCall, opening: pb.CallOpen, shown: Callable[[Scope, pb.CallOpen, bytes], bytes]
    ) -> None:
        """Pass on what comes back. A client that leaves before the answer is no reason to stop."""
        frame = await call.next()
        if frame is None:
            return
        if frame.HasField("refused"):
            await self.refuse(error_from_refusal(frame.refused), frame.refused.agent_micros)
            return
        head = frame.head
        body = shown(self.scope, opening, head.body) if head.complete else None
        headers = _render_head(head, body) + self._timing(head.agent_micros)
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})
        if body is None:
            await self._stream(call, opening)
        else:
            await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, error: ServiceError, agent_micros: int = 0) -> None:
        """Answer with an error."""
        response: Response = errors.render_error(error)
        response.raw_headers += self._timing(agent_micros)
        await response(self.scope, self.receive, self._send)

    async def _stream(self, call: ExchangeCall, opening: pb.CallOpen) -> None:
        """Pass a stream on for as long as the client listens."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._until_left(call.leave))
            await self._chunks(call, opening)
            listening.cancel()

    async def _chunks(self, call: ExchangeCall, opening: pb.CallOpen) -> None:
        last = b"\n\n"
        while (frame := await call.next()) is not None:
            if not frame.HasField("chunk"):
                if frame.HasField("refused") or frame.end.interrupted:
                    await self._send(_render_chunk(_render_interruption(opening.body, last)))
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await self._send(_render_chunk(frame.chunk))
            call.took(len(frame.chunk))
            last = (last + frame.chunk[-4:])[-4:]

    async def _until_left(self, leave: Callable[[], None]) -> None:
        """Say so when the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        leave()

    def _timing(self, agent_micros: int) -> list[tuple[bytes, bytes]]:
        """What the plane took, and what the agent did. Nothing waits in a queue on this path."""
        agent = agent_micros / 1000
        own = max(0.0, (time.perf_counter() - self._began) * 1000 - agent)
        return [
            (b"x-molecule-overhead-ms", b"%.3f" % own),
            (b"server-timing", b"agent;dur=%.3f, queue;dur=0" % agent),
        ]


def _parse_target(path: str) -> str:
    """The target in lower case; raises `Malformed`."""
    found = MESSAGE_PATH.fullmatch(path)
    workspace_id = found[1].lower() if found else ""
    if not WORKSPACE_ID_PATTERN.fullmatch(workspace_id):
        raise errors.MalformedRequest("invalid workspace ID")
    return workspace_id


async def _read_body(headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes | None:
    """The body; `None` if the client has left. Raises `TooLarge` as soon as that is certain."""
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
    """The headers that travel with a message; of one that comes twice the first, and none that is not plain text."""
    found: dict[str, str] = {}
    for name, value in reversed(scope["headers"]):
        if name in FORWARDED_HEADERS and value.isascii():
            found[name.decode()] = value.decode()
    if here := telemetry.traceparent():
        found["traceparent"] = here
    if "a2a-version" not in found and b"A2A-Version" in scope["query_string"]:
        found["a2a-version"] = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("A2A-Version", "")
    return found


def _first_header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")


def _render_head(head: pb.ReplyHead, body: bytes | None) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in head.headers.items()]
    if body is not None:
        return [*headers, (b"content-length", b"%d" % len(body))]
    kept = [(name, value) for name, value in headers if name != b"cache-control"]
    return [*kept, (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


def _render_chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _render_interruption(request: bytes, last: bytes) -> bytes:
    """The one event that tells of a broken stream; what was under way when it broke is closed first."""
    told = {"jsonrpc": "2.0", "id": _parse_request_id(request), "error": STREAM_INTERRUPTED}
    closing = b"" if last.endswith((b"\n\n", b"\r\n\r\n")) else b"\n\n"
    return closing + b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


def _parse_request_id(request: bytes) -> Any:  # noqa: ANN401 - whatever the client chose
    found = json.loads(request)
    return found.get("id") if isinstance(found, dict) else None
