"""Shows a queued message as a task."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from molecule_a2a.events import downgrade_event
from molecule_a2a.model import Dialect, Operation
from molecule_a2a.tasks import TERMINAL_STATES, downgrade_task, upgrade_task
from services.a2a_proxy.answered_tasks import find_task
from services.a2a_proxy.json_values import get_list, get_object
from services.a2a_proxy.model import JsonObject
from services.a2a_proxy.queue.model import OPEN_STATES, MessageState, QueuedMessage, Result
from services.a2a_proxy.queue.rules import describe_end
from services.chassis import strict_json

MAX_ERROR_LENGTH = 2000
"""Characters of an error of an agent that a task shows."""

STATES = {
    MessageState.QUEUED: "submitted",
    MessageState.DISPATCHING: "working",
    MessageState.COMPLETED: "completed",
    MessageState.UNKNOWN: "failed",
    MessageState.DEAD: "failed",
    MessageState.EXPIRED: "failed",
    MessageState.DROPPED: "canceled",
}
"""The state of the task for each state of its message, unless the answer says more."""

NO_ANSWER = "the agent reported an error without a text"

_NAMESPACE = UUID("5e3e0f5a-6f0a-4bb4-9d3c-0c5a8f6f7a11")


def choose_context_id(queue_id: str, named: str | None) -> str:
    """Return the context of the task that stands for a message: the one that the message names, or else its own."""
    return named or str(uuid5(_NAMESPACE, queue_id))


def has_ended(message: QueuedMessage) -> bool:
    """Whether the task that stands for a message is over; one in which the agent asks for more is not."""
    if message.state is MessageState.COMPLETED and message.answer_state is not None:
        return message.answer_state in TERMINAL_STATES
    return message.state not in OPEN_STATES


def find_agent_context(message: QueuedMessage) -> str | None:
    """Return the context of the task that the agent answered with, which its callers read."""
    answered = None if message.answer_body is None else find_task(message.answer_body)
    return None if answered is None else answered.context_id


def build_submitted(
    queue_id: str, context_id: str | None, at: datetime, dialect: Dialect, *, request: bytes = b""
) -> JsonObject:
    """Return the task that stands for a message which has just been accepted with a request."""
    task = _build_task(queue_id, choose_context_id(queue_id, context_id), "submitted", at)
    return in_dialect(_add_history(task, request), dialect)


def build_task(
    message: QueuedMessage,
    dialect: Dialect,
    *,
    request: bytes = b"",
    id_: str | None = None,
    keeps_agent_id: bool = False,
) -> JsonObject:
    """Return the task that stands for a message; `id_` is its id, unless it has that of the message.

    If the agent answered with a task, it is that task. Its id is replaced, unless it `keeps_agent_id` because the agent
    can be asked for it. The message of the `request` is its history, unless the agent tells one.
    """
    id_ = id_ or message.id
    if keeps_agent_id and message.answer_body is not None and message.answer_state is not None:
        answered = find_task(message.answer_body)
        id_ = id_ if answered is None else answered.id
    context_id = choose_context_id(message.id, message.context_id)
    if message.state is MessageState.COMPLETED:
        return in_dialect(_add_history(_build_completed(message, id_, context_id), request), dialect)
    task = _build_task(id_, context_id, STATES[message.state], find_time(message))
    text = describe_end(message) if message.state not in {MessageState.QUEUED, MessageState.DISPATCHING} else ""
    if text:
        task["status"]["message"] = _build_text(message.id, id_, context_id, text)
    return in_dialect(_add_history(task, request), dialect)


def in_dialect(task: JsonObject, dialect: Dialect) -> JsonObject:
    """Return a task in the form of a dialect."""
    return upgrade_task(task) if dialect is Dialect.CURRENT else downgrade_task(task)


def wrap(task: JsonObject, dialect: Dialect) -> JsonObject:
    """Return a task as the answer to a message, which has a name in 1.0."""
    return {"task": task} if dialect is Dialect.CURRENT else task


def limit_history(task: JsonObject, length: object, dialect: Dialect) -> JsonObject:
    """Return a task with the last messages of its history. In 0.3 a length of 0 means no limit."""
    if isinstance(length, bool) or not isinstance(length, int) or length < 0 or "history" not in task:
        return task
    if length == 0:
        return task if dialect is Dialect.LEGACY else {name: task[name] for name in task if name != "history"}
    return {**task, "history": get_list(task, "history")[-length:]}


def is_terminal(task: JsonObject) -> bool:
    """Whether a task of either dialect has ended."""
    return downgrade_task({"status": task.get("status")})["status"]["state"] in TERMINAL_STATES


def format_time(at: datetime) -> str:
    """Return a time as tasks write it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def find_time(message: QueuedMessage) -> datetime:
    """Return when the message came into its state, as far as it is stored."""
    match message.state:
        case MessageState.QUEUED:
            return message.accepted_at
        case MessageState.DISPATCHING:
            return message.dispatched_at or message.accepted_at
        case _:
            return message.ended_at or message.accepted_at


def _add_history(task: JsonObject, request: bytes) -> JsonObject:
    """Return a task with the message of a request as its history, if it has none; the request may be in any dialect."""
    if task.get("history") or not request:
        return task
    try:
        message = get_object(get_object(strict_json.parse(request), "params"), "message")
    except strict_json.InvalidJson:
        return task
    if not message:
        return task
    return {**task, "history": [{**message, "taskId": task["id"], "contextId": task["contextId"]}]}


def _build_completed(message: QueuedMessage, id_: str, context_id: str) -> JsonObject:
    if message.answer_body is None:
        return _build_unanswered(message, id_, context_id)
    try:
        answer = strict_json.parse(message.answer_body)
    except strict_json.InvalidJson:
        answer = None
    if message.result is Result.ERROR or (isinstance(answer, dict) and answer.get("error") is not None):
        return _fail(message, id_, context_id, _read_error(answer))
    return _show_result(message, answer.get("result") if isinstance(answer, dict) else answer, id_, context_id)


def _show_result(message: QueuedMessage, result: Any, id_: str, context_id: str) -> JsonObject:  # noqa: ANN401
    """Return the task for an answer that is no error: a task, the last event of a stream, a message, or other data."""
    shown = _build_task(id_, context_id, "completed", find_time(message))
    event = downgrade_event(result, operation=Operation.SEND_MESSAGE) or {}
    match event:
        case {"kind": "task"} if message.answer_state is not None:
            return {**event, "id": id_, "contextId": event["contextId"] or context_id}
        case {"kind": "status-update", "status": status}:
            return {**shown, "status": status}
        case {"kind": "artifact-update", "artifact": artifact}:
            return {**shown, "artifacts": [artifact]}
        case {"kind": "message", "parts": [_, *_] as parts}:
            said = {**event, "messageId": event["messageId"] or _derive(message.id, "message")}
        case _ if result is None:
            return shown
        case _:
            parts = [{"kind": "text", "text": result} if isinstance(result, str) else _build_data(result)]
            said = {"kind": "message", "messageId": _derive(message.id, "message"), "parts": parts}
    said = {**said, "role": "agent", "taskId": id_, "contextId": context_id}
    artifact = {"artifactId": _derive(message.id, "artifact"), "parts": parts}
    return {**shown, "status": {**shown["status"], "message": said}, "artifacts": [artifact]}


def _read_error(answer: object) -> str:
    """Return the text of an error of an agent."""
    error = answer.get("error") if isinstance(answer, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    return text[:MAX_ERROR_LENGTH] if isinstance(text, str) and text else NO_ANSWER


def _build_unanswered(message: QueuedMessage, id_: str, context_id: str) -> JsonObject:
    """Return the task of a message that was completed without an answer, or with one that was not kept."""
    if message.result is Result.ERROR:
        return _fail(message, id_, context_id, message.last_error or NO_ANSWER)
    task = _build_task(id_, context_id, message.answer_state or "completed", find_time(message))
    if message.answer_state is not None:
        text = "the answer of the agent is not kept any more"
        task["status"]["message"] = _build_text(message.id, id_, context_id, text)
    return task


def _fail(message: QueuedMessage, id_: str, context_id: str, text: str) -> JsonObject:
    task = _build_task(id_, context_id, "failed", find_time(message))
    task["status"]["message"] = _build_text(message.id, id_, context_id, text)
    return task


def _build_data(value: Any) -> JsonObject:  # noqa: ANN401 - JSON is anything
    return {"kind": "data", "data": value if isinstance(value, dict) else {"value": value}}


def _build_task(id_: str, context_id: str, state: str, at: datetime) -> JsonObject:
    """Return a task of 0.3."""
    status = {"state": state, "timestamp": format_time(at)}
    return {"kind": "task", "id": id_, "contextId": context_id, "status": status}


def _build_text(queue_id: str, id_: str, context_id: str, text: str) -> JsonObject:
    return {
        "kind": "message",
        "messageId": _derive(queue_id, "status"),
        "role": "agent",
        "parts": [{"kind": "text", "text": text}],
        "taskId": id_,
        "contextId": context_id,
    }


def _derive(queue_id: str, name: str) -> str:
    """Return an id that is always the same for a message."""
    return str(uuid5(_NAMESPACE, f"{queue_id}/{name}"))
