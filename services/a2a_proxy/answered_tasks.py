"""Finds the task in the answer of an agent, in both generations of A2A, without building the whole answer."""

from dataclasses import dataclass

import msgspec

from services.a2a_proxy.task_references import MAX_ID_LENGTH
from services.chassis import strict_json

STATES = frozenset(
    {
        "submitted",
        "working",
        "completed",
        "failed",
        "canceled",
        "rejected",
        "input-required",
        "auth-required",
    }
)
"""The states of a task as A2A 0.3 writes them, without the unknown one."""

UNKNOWN_STATE = "unknown"

PREFIX = "TASK_STATE_"


@dataclass(frozen=True, slots=True)
class AnsweredTask:
    """The task that an answer or an event is about. `state` is that of a whole task or of an update of its status."""

    id: str
    context_id: str | None = None
    state: str | None = None
    is_whole: bool = False
    """Whether the answer is the task itself, not an update of it or a message."""


def find_task(response: bytes) -> AnsweredTask | None:
    """Return the task of a JSON-RPC response; `None` for an error, for a message without a task and for no JSON."""
    if b'"status"' not in response and b'"taskId"' not in response:  # most answers are messages
        return None
    found = strict_json.find_member(response, "result")
    return None if found is None else _find_in_result(found)


def _find_in_result(raw: bytes) -> AnsweredTask | None:
    result = _decode(raw)
    if result is None:
        return None
    kind = _read_text(result.kind)
    has_status = _is_object(result.status)
    if not kind and not has_status:
        for wrapped in (result.task, result.status_update, result.artifact_update, result.message):
            if _is_object(wrapped):
                return _read_task(_decode(bytes(wrapped)), is_whole=wrapped is result.task)
    return _read_task(result, is_whole=kind == "task" or (not kind and not result.task_id and has_status))


def _read_task(task: "_Members | None", *, is_whole: bool) -> AnsweredTask | None:
    if task is None:
        return None
    id_ = _read_id(task.id if is_whole else task.task_id)
    return None if id_ is None else AnsweredTask(id_, _read_id(task.context_id), _read_state(task.status), is_whole)


def _read_id(raw: msgspec.Raw) -> str | None:
    """Return an id; `None` for one that cannot be stored."""
    id_ = _read_text(raw)
    return id_ if 0 < len(id_) <= MAX_ID_LENGTH and "\0" not in id_ else None


def _read_state(raw: msgspec.Raw) -> str | None:
    """Return a state as 0.3 writes it; `None` without a status."""
    if not _is_object(raw):
        return None
    text = _read_text(msgspec.Raw(strict_json.find_member(bytes(raw), "state") or b""))
    plain = text.removeprefix(PREFIX).lower().replace("_", "-").replace("cancelled", "canceled")
    return plain if plain in STATES else UNKNOWN_STATE


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(raw).lstrip().startswith(b"{")


def _read_text(raw: msgspec.Raw) -> str:
    """Return a text; empty for anything else."""
    try:
        return _TEXT.decode(raw)
    except msgspec.DecodeError:
        return ""


def _decode(raw: bytes) -> "_Members | None":
    try:
        return _MEMBERS.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


_ABSENT = msgspec.Raw(b"")


class _Members(msgspec.Struct, gc=False, rename="camel"):
    """The members of a result that say which task it is about; all others are skipped."""

    kind: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    task_id: msgspec.Raw = _ABSENT
    context_id: msgspec.Raw = _ABSENT
    status: msgspec.Raw = _ABSENT
    task: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    status_update: msgspec.Raw = _ABSENT
    artifact_update: msgspec.Raw = _ABSENT


_MEMBERS: msgspec.json.Decoder[_Members] = msgspec.json.Decoder(_Members)
_TEXT: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
