"""Converts messages and answers between the dialects and bindings of A2A, as bytes."""

from dataclasses import dataclass, replace
from http import HTTPStatus

from molecule_a2a.answers import convert_answer
from molecule_a2a.error_objects import build_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, INVALID_REQUEST, ConversionFailed
from molecule_a2a.event_streams import EventReader, EventTooLarge, StreamEvent, render_event
from molecule_a2a.methods import STREAMING_OPERATIONS, find_method
from molecule_a2a.model import AnswerConversion, Dialect, JsonObject
from molecule_a2a.requests import convert_request
from molecule_a2a.rest.agent_answers import read_answer, read_event
from molecule_a2a.rest.agent_requests import build_agent_request
from molecule_a2a.rest.model import AgentRequest, RestEvent
from molecule_a2a.rest.statuses import METHOD_NOT_FOUND
from molecule_a2a.streams import StreamStep, convert_frame
from services.a2a_proxy.dispatch_plan import GRPC, JSONRPC, REST, DispatchPlan
from services.a2a_proxy.jsonrpc_frame import find_frame_fault
from services.a2a_proxy.model import Answer, Push
from services.chassis import strict_json

MAX_EVENT_BYTES = 10 * 1024 * 1024
"""Bytes of the largest event that is converted."""

FIRST_ERROR_STATUS = 300

JSON_HEADERS = {"content-type": "application/json"}
STREAM_HEADERS = {"content-type": "text/event-stream"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedMessage:
    """A request for the agent, and what the conversion of its answer needs."""

    body: bytes
    push: Push
    method: str = "POST"
    """The HTTP method."""
    answer: AnswerConversion
    request_id: object
    """The id of the JSON-RPC request, for errors that the plane finds in the answer."""
    rest: AgentRequest | None = None
    """What the agent is asked by HTTP+JSON; `None` for an agent of JSON-RPC."""
    rpc: str = ""
    """The operation of an agent of gRPC, whose params are the body. Its answers are those of HTTP+JSON."""


def convert_message(body: bytes, plan: DispatchPlan, *, entropy: bytes) -> ConvertedMessage | Answer:
    """Return the request in the dialect of the agent, or the error that answers it because there is no conversion.

    The body is a complete request; `entropy` are 16 bytes.
    """
    request = strict_json.parse(body)
    convert = _BUILDERS[plan.binding]
    try:
        return convert(request, plan, entropy)
    except ConversionFailed as failure:
        return build_failure(failure, request.get("id"), plan.caller)


def convert_whole_answer(answer: Answer, message: ConvertedMessage) -> Answer:
    """Return an answer as its caller reads it. One that is neither JSON nor a success stays as it is."""
    if message.rest is not None:
        return _convert_rest_answer(answer, message, message.rest)
    if not answer.body:
        return answer
    try:
        converted = convert_answer(_parse(answer.body), message.answer)
    except ConversionFailed as failure:
        if answer.status >= FIRST_ERROR_STATUS:
            return answer
        return build_failure(failure, message.request_id, message.answer.caller)
    return _build_answer(answer, converted, message)


def _build_answer(answer: Answer, converted: JsonObject, message: ConvertedMessage) -> Answer:
    body = strict_json.dump(converted)
    headers = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
    is_streamed = message.answer.operation in STREAMING_OPERATIONS and message.answer.caller is Dialect.LEGACY
    if is_streamed and answer.status == HTTPStatus.OK:  # a caller of 0.3 expects a stream, of 1.0 either
        return replace(answer, headers={**headers, **STREAM_HEADERS}, body=render_event(body))
    return replace(answer, headers={**headers, **JSON_HEADERS}, body=body)


def build_failure(failure: ConversionFailed, request_id: object, dialect: Dialect) -> Answer:
    """Return the JSON-RPC error of a conversion, as an agent would give it."""
    body = strict_json.dump(_build_failure(failure, request_id, dialect))
    return Answer(status=HTTPStatus.OK, headers=JSON_HEADERS, body=body)


class StreamConverter:
    """Converts a streamed answer, piece by piece."""

    def __init__(self, message: ConvertedMessage) -> None:
        self._message = message
        self._reader = EventReader(max_event_bytes=MAX_EVENT_BYTES)
        self._has_begun = False
        self.is_over = False
        """Whether the stream to the caller has ended; what the agent still sends does not count."""

    def convert(self, piece: bytes) -> bytes:
        """Return what the caller receives for a piece of the agent's stream; often nothing yet."""
        try:
            events = self._reader.read(piece)
        except EventTooLarge:
            return self._fail(ConversionFailed(INVALID_AGENT_RESPONSE, "an event of the agent's stream is too large"))
        return b"".join(self._convert_event(event) for event in events if not self.is_over)

    def _convert_event(self, event: StreamEvent) -> bytes:
        if event.data is None:
            return render_event(None, event.other_lines)
        try:
            step = self._convert_data(event)
        except ConversionFailed as failure:
            return self._fail(failure)
        self._has_begun, self.is_over = step.has_begun, step.is_last
        *first, last = step.frames or (None,)
        written = [render_event(strict_json.dump(frame)) for frame in first]
        if last is not None:
            written.append(render_event(strict_json.dump(last), self._select_lines(event)))
        return b"".join(written)

    def _select_lines(self, event: StreamEvent) -> tuple[bytes, ...]:
        """Return the lines to keep. The types of events are those of HTTP+JSON: JSON-RPC has none."""
        if self._message.rest is None:
            return event.other_lines
        return tuple(line for line in event.other_lines if not line.startswith(b"event"))

    def _convert_data(self, event: StreamEvent) -> StreamStep:
        data, rest = _parse(event.data or b""), self._message.rest
        if rest is None:
            return convert_frame(data, self._message.answer, has_begun=self._has_begun)
        return read_event(RestEvent(data, _find_name(event)), request=rest, has_begun=self._has_begun)

    def _fail(self, failure: ConversionFailed) -> bytes:
        self.is_over = True
        error = _build_failure(failure, self._message.request_id, self._message.answer.caller)
        return render_event(strict_json.dump(error))


def _build_rpc_message(request: JsonObject, plan: DispatchPlan, entropy: bytes) -> ConvertedMessage:
    converted = convert_request(request, caller=plan.caller, agent=plan.agent, entropy=entropy)
    return ConvertedMessage(
        body=strict_json.dump(_add_tenant(converted.request, plan)),
        push=plan.push,
        answer=converted.answer,
        request_id=request.get("id"),
    )


def _build_rest_message(request: JsonObject, plan: DispatchPlan, entropy: bytes) -> ConvertedMessage:
    _check_request(request)
    rest = build_agent_request(_add_tenant(request, plan), caller=plan.caller, agent=plan.agent, entropy=entropy)
    base, _, base_query = plan.push.address.partition("?")
    query = "&".join(part for part in (base_query, rest.http.query) if part)
    address = base.rstrip("/") + rest.http.path + (f"?{query}" if query else "")
    return ConvertedMessage(
        body=b"" if rest.http.body is None else strict_json.dump(rest.http.body),
        push=Push(address, plan.push.trusted),
        method=rest.http.method,
        answer=rest.answer,
        request_id=rest.request_id,
        rest=rest,
    )


def _build_grpc_message(request: JsonObject, plan: DispatchPlan, entropy: bytes) -> ConvertedMessage:
    message = _build_rest_message(request, plan, entropy)
    converted = convert_request(_add_tenant(request, plan), caller=plan.caller, agent=plan.agent, entropy=entropy)
    return replace(
        message,
        body=strict_json.dump(converted.request.get("params") or {}),
        push=plan.push,
        method="POST",
        rpc=str(converted.request.get("method")),
    )


def _check_request(request: JsonObject) -> None:
    """Raise `ConversionFailed` for a request without a form in another binding, of which the plane is the server."""
    fault = find_frame_fault(request)
    if fault:
        raise ConversionFailed(INVALID_REQUEST, fault)
    if find_method(request.get("method")) is None:
        raise ConversionFailed(METHOD_NOT_FOUND, "method not found")


_BUILDERS = {JSONRPC: _build_rpc_message, REST: _build_rest_message, GRPC: _build_grpc_message}


def _convert_rest_answer(answer: Answer, message: ConvertedMessage, rest: AgentRequest) -> Answer:
    """Return the JSON-RPC answer for an answer by HTTP+JSON; the status of an error is in its code."""
    try:
        body = _parse(answer.body) if answer.body else None
    except ConversionFailed as failure:
        if answer.status < FIRST_ERROR_STATUS:
            return build_failure(failure, message.request_id, message.answer.caller)
        body = None
    try:
        converted = read_answer(body, http=answer.status, request=rest)
    except ConversionFailed as failure:
        return build_failure(failure, message.request_id, message.answer.caller)
    return _build_answer(replace(answer, status=HTTPStatus.OK), converted, message)


def _find_name(event: StreamEvent) -> str:
    """Return the type of an event; empty for the usual one."""
    names = (line[6:].strip() for line in event.other_lines if line.startswith(b"event:"))
    return next(names, b"").decode(errors="replace")


def _parse(body: bytes) -> object:
    try:
        return strict_json.parse(body)
    except strict_json.JsonLimitExceeded as error:
        raise ConversionFailed(INVALID_AGENT_RESPONSE, f"the agent's answer has {error}") from None
    except strict_json.InvalidJson:
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's answer is not JSON") from None


def _build_failure(failure: ConversionFailed, request_id: object, dialect: Dialect) -> JsonObject:
    echoed = request_id if isinstance(request_id, (str, int, float)) else None
    return {"jsonrpc": "2.0", "id": echoed, "error": build_error(failure, dialect)}


def _add_tenant(request: JsonObject, plan: DispatchPlan) -> JsonObject:
    """Return a request that names the tenant of the interface: a caller of 0.3 cannot."""
    params = request.get("params")
    if not plan.tenant or plan.agent is not Dialect.CURRENT or not isinstance(params, dict) or params.get("tenant"):
        return request
    return {**request, "params": {**params, "tenant": plan.tenant}}
