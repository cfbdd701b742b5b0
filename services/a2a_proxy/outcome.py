"""What came of a dispatch: an answer or a break, and what either means."""

import json
from http import HTTPStatus
from typing import NoReturn, assert_never

from services.a2a_proxy.errors import (
    AddressRefused,
    AgentIdle,
    AgentRestarting,
    AgentUnreachable,
    AnswerUnreadable,
    CallDeadlineExceeded,
)
from services.a2a_proxy.model import (
    Answer,
    Answered,
    Break,
    Busy,
    Condition,
    Dead,
    Failed,
    Fault,
    JsonObject,
    Outcome,
    Sent,
    Stream,
)
from services.chassis.errors import ServiceError

DEAD = frozenset({502, 503, 504, 521, 522, 523, 524})
"""Statuses that something in front of an agent gives when there is no agent."""

OK = 200
FIRST_ERROR = 300
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503


def of(result: Answer | Stream | Break) -> Outcome:
    """What the result of a dispatch means; `Dead` has to be settled by asking who runs the instance."""
    match result:
        case Stream():
            return Answered(result)
        case Break(fault=Fault.UNREACHED | Fault.RESET):
            return Dead(result)
        case Break():
            return Failed(_failure(result))
        case Answer() if is_upstream_dead(result.status):
            return Dead(result)
        case Answer() if _says_busy(result):
            return Busy()
        case Answer():
            return Answered(result)
        case _:
            assert_never(result)


def settled(dead: Dead, condition: Condition) -> Answered | Busy | Failed:
    """What it means, now that it is known how the instance is. Not knowing is no evidence of death."""
    result = dead.result
    if condition is Condition.GONE:
        return Failed(AgentRestarting(_sent(result)))
    if isinstance(result, Answer):
        said = result.status == UNAVAILABLE and "retry-after" in result.headers
        return Busy() if said else Answered(result)
    if result.fault is Fault.UNREACHED and condition is Condition.ALIVE:
        return Busy()
    return Failed(_failure(result))


def is_upstream_dead(status: int) -> bool:
    """Whether a status says that there is no agent behind whatever answered."""
    return status in DEAD


def presented(answer: Answer) -> Answer:
    """The answer as it is shown: a page that something in front of the agent wrote is not for the client."""
    if answer.status < FIRST_ERROR or "json" in answer.headers.get("content-type", ""):
        return answer
    kept = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
    return Answer(
        status=answer.status,
        headers=kept | {"content-type": "application/json"},
        body=json.dumps({"error": _status_text(answer.status)}, separators=(",", ":")).encode(),
    )


def json_text(body: bytes) -> str | None:
    """A body as the log keeps it; `None` where it is not JSON. Python reads NaN and Infinity, JSON does not."""
    try:
        text = body.decode()
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def last_event(tail: bytes) -> bytes | None:
    """The data of the last event in the end of a stream, comments aside."""
    for event in reversed(tail.replace(b"\r\n", b"\n").split(b"\n\n")):
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            return b"\n".join(lines)
    return None


def is_error(answer: Answer) -> bool:
    """Whether the log calls it an error: the status is one, or the body is a JSON-RPC error."""
    if answer.status >= FIRST_ERROR:
        return True
    return b'"error"' in answer.body and "error" in (_object(answer.body) or {})


def tool_trace(body: bytes) -> str | None:
    """`result.metadata.tool_trace` of an answer, as JSON text, where the agent told."""
    if b'"tool_trace"' not in body:
        return None
    found: object = _object(body)
    for name in ("result", "metadata", "tool_trace"):
        found = found.get(name) if isinstance(found, dict) else None
    return None if found is None else json.dumps(found, separators=(",", ":"))


def _status_text(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "error"


def _failure(result: Break) -> ServiceError:
    seconds = max(1, round(result.after.total_seconds()))
    match result.fault:
        case Fault.ADDRESS:
            return AddressRefused()
        case Fault.UNREACHED | Fault.RESET:
            return AgentUnreachable(details={"delivery": str(result.sent)})
        case Fault.SILENT:
            return AgentIdle(details={"idle_seconds": seconds, "delivery": str(result.sent)})
        case Fault.LATE:
            return CallDeadlineExceeded(details={"timeout_seconds": seconds, "delivery": str(result.sent)})
        case Fault.UNREADABLE:
            return AnswerUnreadable(details={"delivery_confirmed": True})
        case _:
            assert_never(result.fault)


def _sent(result: Answer | Break) -> Sent:
    return result.sent if isinstance(result, Break) else Sent.UNKNOWN


def _says_busy(answer: Answer) -> bool:
    """Busy is explicit: 429, or a JSON-RPC error whose data says so."""
    if answer.status == TOO_MANY_REQUESTS:
        return True
    if answer.status != OK or b'"busy"' not in answer.body or b'"error"' not in answer.body:
        return False
    error = (_object(answer.body) or {}).get("error")
    data = error.get("data") if isinstance(error, dict) else None
    entries = data if isinstance(data, list) else [data]
    return any(isinstance(entry, dict) and entry.get("busy") is True for entry in entries)


def _object(body: bytes) -> JsonObject | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
