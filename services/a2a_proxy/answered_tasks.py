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

_HINTS = (b'"status"', b'"taskId"', b'"task_id"', b"\\u")
"""What an answer about a task holds. A name can be written with escapes, and in two spellings in 1.0."""

UNKNOWN_STATE = "unknown"

PREFIX = "TASK_STATE_"


_CONTEXT_HINTS = (b'"contextId"', b'"context_id"', b"\\u")

_ABSENT = msgspec.Raw(b"")

_PROTO = "proto_"


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
    if not any(hint in response for hint in _HINTS):  # most answers are messages
        return None
    found = strict_json.find_member(response, "result")
    return None if found is None else _find_in_result(found)


def find_context(response: bytes) -> str | None:
    """Return the context of a JSON-RPC response, which that of a message without a task may have too."""
    if not any(hint in response for hint in _CONTEXT_HINTS):
        return None
    found = strict_json.find_member(response, "result")
    members, _ = (None, False) if found is None else _unwrap(found)
    return None if members is None else _read_id(members.context_id, members.proto_context_id)


def _find_in_result(raw: bytes) -> AnsweredTask | None:
    members, is_whole = _unwrap(raw)
    if members is None:
        return None
    id_ = _read_id(members.id) if is_whole else _read_id(members.task_id, members.proto_task_id)
    if id_ is None:
        return None
    context_id = _read_id(members.context_id, members.proto_context_id)
    return AnsweredTask(id_, context_id, _read_state(members.status), is_whole)


def _unwrap(raw: bytes) -> "tuple[_Members | None, bool]":
    """Return the members of a task, an update or a message, and whether it is a whole task."""
    result = _decode(raw)
    if result is None:
        return None, False
    kind = _read_text(result.kind)
    has_status = _is_object(result.status)
    if not kind and not has_status:
        updates = (
            result.status_update,
            result.artifact_update,
            result.proto_status_update,
            result.proto_artifact_update,
        )
        for wrapped in (result.task, *updates, result.message):
            if _is_object(wrapped):
                return _decode(bytes(wrapped)), wrapped is result.task
    names_task = bool(result.task_id) or bool(result.proto_task_id)
    return result, kind == "task" or (not kind and not names_task and has_status)


def _read_id(raw: msgspec.Raw, other: msgspec.Raw = _ABSENT) -> str | None:
    """Return an id in one of its two spellings; `None` for one that cannot be stored."""
    id_ = _read_text(raw) or _read_text(other)
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


def _name_member(field: str) -> str:
    if field.startswith(_PROTO):
        return field.removeprefix(_PROTO)
    first, *others = field.split("_")
    return first + "".join(word.capitalize() for word in others)


class _Members(msgspec.Struct, gc=False, rename=_name_member):
    """The members of a result that say which task it is about; all others are skipped.

    Parsers of 1.0 also take the names of the proto file.
    """

    kind: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    task_id: msgspec.Raw = _ABSENT
    context_id: msgspec.Raw = _ABSENT
    status: msgspec.Raw = _ABSENT
    task: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    status_update: msgspec.Raw = _ABSENT
    artifact_update: msgspec.Raw = _ABSENT
    proto_task_id: msgspec.Raw = _ABSENT
    proto_context_id: msgspec.Raw = _ABSENT
    proto_status_update: msgspec.Raw = _ABSENT
    proto_artifact_update: msgspec.Raw = _ABSENT


_MEMBERS: msgspec.json.Decoder[_Members] = msgspec.json.Decoder(_Members)
_TEXT: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
