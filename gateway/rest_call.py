"""Converts one call of a binding other than JSON-RPC: its request for the proxy, and the reply as HTTP+JSON."""

from collections.abc import Callable, Mapping
from uuid import uuid4

from starlette.responses import Response

from gateway import errors
from gateway.cors import RawHeaders
from gateway.event_memory import EventMemory
from gateway.json_format import encode_json
from gateway.message_body import MAX_MESSAGE_BYTES
from gateway.message_reply import STREAM_HEADERS, RenderedHead
from gateway.rest_errors import render_rest_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.event_streams import EventReader, EventTooLarge, StreamEvent, render_event
from molecule_a2a.methods import STREAMING_OPERATIONS
from molecule_a2a.model import Dialect, JsonObject, Operation
from molecule_a2a.rest import streams
from molecule_a2a.rest.answers import render_answer
from molecule_a2a.rest.model import HttpAnswer, RestEvent, Target
from molecule_a2a.rest.requests import check_version, read_request
from molecule_a2a.rest.statuses import PARSE_ERROR
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.chassis.large_bodies import run_by_size

JSON = "application/json"
EVENT_STREAM = "text/event-stream"

MEDIA_TYPES = {Dialect.CURRENT: "application/a2a+json", Dialect.LEGACY: JSON}
"""The media types of successful answers."""

NOTIFICATIONS_HEADER = "x-molecule-notifications"
"""Tells the proxy the version of push notifications for a caller whose requests are converted to another version."""

CARD_REQUEST = b'{"method":"GetExtendedAgentCard"}'
"""What says that an answer is a card."""

MAX_EVENT_BYTES = 10 * 1024 * 1024
"""Size of the largest event of a stream that is converted."""

REPLACED_HEADERS = frozenset({"content-type", "content-length", "content-encoding", "cache-control", "etag"})
"""Headers of the JSON-RPC answer that describe its body."""

RewriteCard = Callable[[pb.ReplyHead], pb.ReplyHead]
"""Returns the JSON-RPC answer whose card leads to the plane."""

ReadRequest = Callable[[bytes], JsonObject]
"""Returns the JSON-RPC request of 1.0 for the body of a request; raises `ConversionFailed` or `InvalidJson`."""


class RestCall:
    """A call of the binding, and what the client has received of its reply."""

    takes_whole_answers = True

    def __init__(
        self, target: Target, *, read_request: ReadRequest, memory: EventMemory, rewrite_card: RewriteCard
    ) -> None:
        """`memory` is shared by all calls."""
        self._target = target
        self._read_request = read_request
        self._memory = memory
        self._rewrite_card = rewrite_card
        self._context_id = ""
        self._reader = EventReader(max_event_bytes=MAX_EVENT_BYTES)
        self._kept_bytes = 0
        self.is_over = False

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the JSON-RPC request."""
        accept = f"{JSON}, {EVENT_STREAM}" if self._target.operation in STREAMING_OPERATIONS else JSON
        headers = {"content-type": JSON, "accept": accept, "a2a-version": Dialect.CURRENT.value}
        if self._target.dialect is Dialect.LEGACY:
            headers[NOTIFICATIONS_HEADER] = Dialect.LEGACY.value
        return headers

    def close(self) -> None:
        """Free the memory of an incomplete event, or of a large answer."""
        self._memory.replace(self._kept_bytes, 0)
        self._kept_bytes = 0

    def keep_answer(self, size: int) -> bool:
        """Return whether there is memory for a large answer."""
        self._kept_bytes += size
        return self._memory.replace(0, size)

    async def convert_body(self, body: bytes) -> bytes:
        """Return the JSON-RPC request for the body of the request; raises `ServiceError`."""
        return await run_by_size(len(body), self._convert_body, body)

    def render_error(self, error: ServiceError) -> Response:
        """Return the response for an error of the plane."""
        return render_rest_error(error, self._target.dialect)

    async def render_head(self, head: pb.ReplyHead) -> RenderedHead:
        """Return the beginning of a reply, or all of it."""
        if self._target.operation is Operation.GET_EXTENDED_CARD:
            head = await run_by_size(len(head.body), self._rewrite_card, head)
        kept = [
            (name.encode(), value.encode("latin-1", "replace"))
            for name, value in head.headers.items()
            if name.lower() not in REPLACED_HEADERS
        ]
        if not head.complete and "content-encoding" not in head.headers:
            return RenderedHead(head.status, [*kept, *_STREAM_HEADERS], None)
        answer = await run_by_size(len(head.body), self._render_answer, head)
        if self._target.operation in STREAMING_OPERATIONS and not answer.is_error:
            body = _render_event(RestEvent(answer.body))
            return RenderedHead(answer.status, [*kept, *_STREAM_HEADERS, _render_length(body)], body)
        media_type = JSON if answer.is_error else MEDIA_TYPES[self._target.dialect]
        body = encode_json(answer.body)
        headers = [*kept, (b"content-type", media_type.encode()), _render_length(body)]
        return RenderedHead(answer.status, headers, body)

    async def convert_chunk(self, chunk: bytes) -> bytes:
        """Return the events for the client that the next bytes of a stream complete."""
        try:
            events = self._reader.read(chunk)
        except EventTooLarge:
            return self._end_with_failure("an event of the agent's stream is too large")
        rendered = [await self._render_event(event) for event in events if not self.is_over]
        old, self._kept_bytes = self._kept_bytes, self._reader.waiting_bytes
        if not self._memory.replace(old, self._kept_bytes):
            rendered.append(self._end_with_failure("an event of the agent's stream is too large"))
        return b"".join(rendered)

    def end_stream(self, *, is_interrupted: bool) -> bytes:
        """Return the event that reports a broken stream."""
        if not is_interrupted:
            return b""
        return _render_event(streams.render_error_event(streams.INTERRUPTION, self._target.dialect))

    def _convert_body(self, body: bytes) -> bytes:
        try:
            request = self._read_request(body)
        except strict_json.InvalidJson as error:
            raise _refuse(PARSE_ERROR, _describe_invalid(error)) from None
        except ConversionFailed as failure:
            raise refuse_conversion(failure) from None
        self._context_id = _find_context_id(request)
        converted = encode_json(request)
        if len(converted) > MAX_MESSAGE_BYTES:
            raise errors.RequestTooLarge(details={"max_bytes": MAX_MESSAGE_BYTES})
        return converted

    def _render_answer(self, head: pb.ReplyHead) -> HttpAnswer:
        return render_answer(_parse(head.body), http=head.status, target=self._target, context_id=self._context_id)

    async def _render_event(self, event: StreamEvent) -> bytes:
        if event.data is None:
            return render_event(None, event.other_lines)
        return await run_by_size(len(event.data), self._render_data, event.data, event.other_lines)

    def _render_data(self, data: bytes, other_lines: tuple[bytes, ...]) -> bytes:
        """Return the events that an event becomes; its other lines belong to the first of them."""
        step = streams.render_frame(_parse(data), self._target)
        self.is_over = step.is_last
        kept = tuple(line for line in other_lines if not line.startswith(b"event"))
        if not step.events:
            return render_event(None, kept) if kept else b""
        first, *others = step.events
        return _render_event(first, kept) + b"".join(map(_render_event, others))

    def _end_with_failure(self, text: str) -> bytes:
        self.is_over = True
        error = {"code": INVALID_AGENT_RESPONSE, "message": text}
        return _render_event(streams.render_error_event(error, self._target.dialect))


def read_http_request(body: bytes, *, target: Target, version: str, query: str) -> JsonObject:
    """Return the JSON-RPC request for an HTTP request; raises `ConversionFailed` or `InvalidJson`.

    `version` is the A2A-Version header.
    """
    check_version(target, header=version, query=query)
    value = strict_json.parse(body) if body.strip() else None
    return read_request(target, query=query, body=value, request_id=str(uuid4()), entropy=uuid4().bytes)


def refuse_conversion(failure: ConversionFailed) -> ServiceError:
    """Return the refusal of a request that cannot be converted."""
    return _refuse(failure.code, failure.text)


_STREAM_HEADERS: RawHeaders = [(b"content-type", EVENT_STREAM.encode()), *STREAM_HEADERS]


def _refuse(code: int, text: str) -> ServiceError:
    """Return the refusal of a request that is not valid, as the JSON-RPC error that the client receives."""
    return errors.MalformedRequest(text, details={"error": {"code": code, "message": text}})


def _describe_invalid(error: strict_json.InvalidJson) -> str:
    return f"invalid JSON: {error}" if isinstance(error, strict_json.JsonLimitExceeded) else "invalid JSON"


def _parse(body: bytes) -> object:
    """Return the value of an agent's JSON; `None` for another text."""
    try:
        return strict_json.parse(body)
    except strict_json.InvalidJson:
        return None


def _find_context_id(request: JsonObject) -> str:
    message = request["params"].get("message")
    context_id = message.get("contextId") if isinstance(message, dict) else None
    return context_id if isinstance(context_id, str) else ""


def _render_event(event: RestEvent, other_lines: tuple[bytes, ...] = ()) -> bytes:
    name = (b"event: " + event.name.encode(),) if event.name else ()
    return render_event(encode_json(event.data), (*other_lines, *name))


def _render_length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)
