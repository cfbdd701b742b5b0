"""Decides what the result of a dispatch means, and what the client and the activity log see of it."""

import re
from datetime import timedelta
from http import HTTPStatus
from typing import assert_never

from molecule_a2a.event_streams import parse_event
from services.a2a_proxy.errors import (
    AddressRefused,
    AgentBusy,
    AgentIdle,
    AgentRestarting,
    AgentUnreachable,
    AnswerUnreadable,
    CallDeadlineExceeded,
    CallerLeft,
    InboundSecretRefused,
)
from services.a2a_proxy.model import (
    Answer,
    Answered,
    Busy,
    DispatchFailure,
    Failed,
    Fault,
    InstanceCondition,
    Outcome,
    SendState,
    Stream,
    SuspectedDead,
)
from services.chassis import strict_json
from services.chassis.errors import ServiceError

DEAD_STATUSES = frozenset({502, 503, 504, 521, 522, 523, 524})
"""HTTP statuses by which a proxy in front of an agent reports that the agent is missing."""

BODYLESS_STATUSES = frozenset({204, 205, 304})
"""The statuses of answers that have no body; what an agent sends as one is dropped."""

INVALID_STATUS_TEXT = "workspace agent answered with an HTTP status outside 200 to 599"

ENCODED_TEXT = "failed to read agent response: it is compressed, or it is not UTF-8"

INBOUND_REALM = "molecule-inbound"
"""The realm in the challenge of an agent that requires the plane's inbound secret (docs/spec/rest.md, 6.4)."""

LINE_END = re.compile(rb"\r\n?")
"""The ends of lines in an SSE stream besides the line feed; no other character ends a line there."""

MAX_RETRY_AFTER_SECONDS = 86_400
"""The longest delay that is taken from an agent's Retry-After header."""

MEBIBYTE = 1024 * 1024

OK = 200
FIRST_ERROR = 300
UNAUTHORIZED = 401
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503


def classify(result: Answer | Stream | DispatchFailure) -> Outcome:
    """Return what a result means. `SuspectedDead` has to be settled by `reclassify`."""
    match result:
        case Stream():
            return Answered(result)
        case DispatchFailure(fault=Fault.CONNECT_FAILED | Fault.RESET):
            return SuspectedDead(result)
        case DispatchFailure(fault=Fault.TARGET_FULL):
            return Busy()
        case DispatchFailure():
            return Failed(_build_error(result))
        case Answer():
            return _classify_answer(result)
        case _:
            assert_never(result)


def reclassify(suspected: SuspectedDead, condition: InstanceCondition) -> Answered | Busy | Failed:
    """Return what a suspected result means, given the instance's condition. An unknown condition does not mean dead."""
    result = suspected.result
    if condition is InstanceCondition.GONE:
        return Failed(AgentRestarting(_get_send_state(result)))
    if isinstance(result, Answer):
        is_busy = result.status == UNAVAILABLE and "retry-after" in result.headers
        return Busy(parse_retry_after(result)) if is_busy else Answered(result)
    if result.fault is Fault.CONNECT_FAILED and condition is InstanceCondition.ALIVE:
        return Busy()
    return Failed(_build_error(result))


def is_upstream_dead(status: int) -> bool:
    """Whether a status reports that there is no agent behind the proxy that answered."""
    return status in DEAD_STATUSES


def is_unauthorized(result: Answer | Stream | DispatchFailure) -> bool:
    """Whether an agent refused a message before doing anything, because of the credential or for want of one."""
    return isinstance(result, Answer) and result.status == UNAUTHORIZED


def parse_retry_after(answer: Answer) -> timedelta | None:
    """Return the seconds of a Retry-After header; `None` without one, for a date, and beyond a day."""
    text = answer.headers.get("retry-after", "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_RETRY_AFTER_SECONDS))):
        return None
    return timedelta(seconds=int(text)) if int(text) <= MAX_RETRY_AFTER_SECONDS else None


def hide_foreign_body(answer: Answer) -> Answer:
    """Return the answer for the client, with a generic body in place of an error page that is not JSON."""
    if answer.status < FIRST_ERROR or answer.status in BODYLESS_STATUSES:
        return answer
    if "json" in answer.headers.get("content-type", ""):
        return answer
    headers = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
    return Answer(
        status=answer.status,
        headers=headers | {"content-type": "application/json"},
        body=strict_json.dump({"error": _get_status_text(answer.status)}),
    )


def decode_json(body: bytes) -> str | None:
    """Return a body as text for the activity log, or `None` if it is not strict JSON."""
    try:
        strict_json.parse(body)
    except strict_json.InvalidJson:
        return None
    return body.decode()


def find_last_event(tail: bytes) -> bytes | None:
    """Return the data of the last event in the end of an SSE stream, or `None`; comments are ignored.

    An event ends with an empty line. Without it the event is incomplete, and ignored too.
    """
    *complete, _ = _split_events(tail)
    for text in reversed(complete):
        event = parse_event(text)
        if event is not None and event.data is not None:
            return event.data
    return None


def _split_events(stream: bytes) -> list[bytes]:
    return LINE_END.sub(b"\n", stream).split(b"\n\n")


def is_error(answer: Answer) -> bool:
    """Whether the activity log records an error: the status or the JSON-RPC body is one."""
    if answer.status >= FIRST_ERROR:
        return True
    return b'"error"' in answer.body and strict_json.find_member(answer.body, "error") is not None


def extract_tool_trace(body: bytes) -> str | None:
    """Return `result.metadata.tool_trace` of an answer as JSON text, or `None`."""
    if b'"tool_trace"' not in body:
        return None
    found = _parse_member(body, "result", "metadata", "tool_trace")
    return None if found is None else strict_json.dump(found).decode()


def _classify_answer(answer: Answer) -> Outcome:
    if is_upstream_dead(answer.status):
        return SuspectedDead(answer)
    if _is_busy(answer):
        return Busy(parse_retry_after(answer))
    if is_unauthorized(answer) and INBOUND_REALM in answer.headers.get("www-authenticate", ""):
        return Failed(InboundSecretRefused())
    return Answered(answer)


def _get_status_text(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "error"


def _build_error(failure: DispatchFailure) -> ServiceError:
    seconds = max(1, round(failure.waited.total_seconds()))
    delivery = str(failure.send_state)
    error: ServiceError
    match failure.fault:
        case Fault.ADDRESS_REFUSED:
            error = AddressRefused()
        case Fault.CONNECT_FAILED | Fault.RESET:
            error = AgentUnreachable(details={"delivery": delivery})
        case Fault.TARGET_FULL:
            error = AgentBusy()
        case Fault.CALLER_LEFT:
            error = CallerLeft(details={"delivery": delivery})
        case Fault.IDLE_TIMEOUT:
            error = AgentIdle(details={"idle_seconds": seconds, "delivery": delivery})
        case Fault.DEADLINE_EXCEEDED:
            error = CallDeadlineExceeded(details={"timeout_seconds": seconds, "delivery": delivery})
        case Fault.UNREADABLE:
            error = AnswerUnreadable(details={"delivery_confirmed": True})
        case Fault.TOO_LARGE:
            text = f"failed to read agent response: it is larger than {failure.size // MEBIBYTE} MiB"
            error = AnswerUnreadable(text, details={"delivery_confirmed": True, "max_bytes": failure.size})
        case Fault.ENCODED | Fault.INVALID_STATUS:
            text = ENCODED_TEXT if failure.fault is Fault.ENCODED else INVALID_STATUS_TEXT
            error = AnswerUnreadable(text, details={"delivery_confirmed": True})
        case _:
            assert_never(failure.fault)
    return error


def _get_send_state(result: Answer | DispatchFailure) -> SendState:
    return result.send_state if isinstance(result, DispatchFailure) else SendState.UNKNOWN


def _is_busy(answer: Answer) -> bool:
    """Whether an answer says busy: by 429, or by a JSON-RPC error whose data has `busy`."""
    if answer.status == TOO_MANY_REQUESTS:
        return True
    if answer.status != OK or b'"busy"' not in answer.body or b'"error"' not in answer.body:
        return False
    data = _parse_member(answer.body, "error", "data")
    entries = data if isinstance(data, list) else [data]
    return any(isinstance(entry, dict) and entry.get("busy") is True for entry in entries)


def _parse_member(body: bytes, *path: str) -> object:
    """Return the value of a member, or `None` if it is absent or not strict JSON."""
    found = strict_json.find_member(body, *path)
    try:
        return None if found is None else strict_json.parse(found)
    except strict_json.InvalidJson:
        return None
