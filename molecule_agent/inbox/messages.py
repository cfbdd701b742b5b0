"""Reads fetched messages of both generations of A2A, and writes their answers in the same generation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from molecule_agent.adapter import Turn

CURRENT_METHODS = frozenset({"SendMessage", "SendStreamingMessage"})
"""The methods of A2A 1.0 that send a message; all others are read as A2A 0.3."""

METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603

NO_MESSAGE_TEXT = "the agent answers messages only"
INTERRUPTED_TEXT = "the agent stopped while it worked on this message, and must not start it again"
FAILURE_TEXT = "The agent could not answer; its log says why."

MAX_RECEIPT_LENGTH = 1000
MAX_ID_LENGTH = 200

_NAMESPACE = UUID("0c3a41a8-58f4-4f0e-8a55-1f3d3c6f6f2b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A message that the plane has leased to this agent."""

    id: str
    """The id in the plane, under which the same message is offered again."""
    receipt: str
    """Identifies the lease; each lease of a message has another one."""
    request: Mapping[str, Any]
    """The JSON-RPC request, as its sender wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What ends a message: a result, or a JSON-RPC error."""

    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"result": self.result} if self.error is None else {"error": self.error}


def read_items(answer: object) -> list[Item]:
    """Read what the inbox has leased; whatever is no item is left out, and its lease ends by itself."""
    found = [_read_item(one) for one in answer] if isinstance(answer, list) else []
    return [item for item in found if item is not None]


def read_turn(item: Item) -> Turn | None:
    """Read the message of an item; None for a request that has none."""
    parameters = item.request.get("params")
    message = parameters.get("message") if isinstance(parameters, dict) else None
    parts = message.get("parts") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(parts, list):
        return None
    read = [part for one in parts if isinstance(one, dict) and (part := _read_part(one))]
    metadata = message.get("metadata")
    return Turn(
        text="\n".join(part["text"] for part in read if isinstance(part.get("text"), str)),
        parts=read,
        context_id=_read_text(message, "contextId", "context_id") or str(uuid5(_NAMESPACE, item.id)),
        message_id=_read_text(message, "messageId", "message_id") or item.id,
        task_id=item.id,
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def build_completed(item: Item, turn: Turn, text: str, *, now: datetime) -> Answer:
    """Build the answer of an adapter: a completed task with one artifact."""
    artifact = {"artifactId": str(uuid5(_NAMESPACE, f"{item.id} artifact")), "name": "answer"}
    parts = [_write_text(item, text)] if text else []
    return _write_task(item, turn, "completed", now, artifacts=[{**artifact, "parts": parts}] if parts else [])


def build_ended(item: Item, turn: Turn, state: str, text: str, *, now: datetime) -> Answer:
    """Build the answer for a turn that is not completed: a task in `state`, a name of A2A 0.3, with a text."""
    message: dict[str, Any] = {
        "messageId": str(uuid5(_NAMESPACE, f"{item.id} end")),
        "role": "ROLE_AGENT" if _is_current(item) else "agent",
        "taskId": turn.task_id,
        "contextId": turn.context_id,
        "parts": [_write_text(item, text)],
    }
    return _write_task(item, turn, state, now, message=message if _is_current(item) else {"kind": "message"} | message)


def build_error(code: int, text: str) -> Answer:
    """Build the answer for a message that no adapter answers."""
    return Answer(error={"code": code, "message": text})


def _read_item(found: object) -> Item | None:
    match found:
        case {"id": str(id_), "receipt": str(receipt), "message": dict(request)}:
            is_usable = 0 < len(id_) <= MAX_ID_LENGTH and 0 < len(receipt) <= MAX_RECEIPT_LENGTH
            return Item(id=id_, receipt=receipt, request=request) if is_usable else None
        case _:
            return None


def _is_current(item: Item) -> bool:
    return item.request.get("method") in CURRENT_METHODS


def _read_part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part in the form of A2A 1.0; empty for a part without content."""
    kept = {"metadata": part["metadata"]} if isinstance(part.get("metadata"), dict) else {}
    match part:
        case {"file": dict(file)}:
            content = {"raw": file["bytes"]} if "bytes" in file else {"url": file.get("uri", "")}
            described = {"filename": file.get("name"), "mediaType": file.get("mimeType")}
            return {**content, **{name: text for name, text in described.items() if text}, **kept}
        case {"text": _} | {"data": _} | {"raw": _} | {"url": _}:
            return {name: value for name, value in part.items() if name != "kind"}
        case _:
            return {}


def _read_text(message: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := message.get(name), str) and value), "")


def _write_text(item: Item, text: str) -> dict[str, Any]:
    return {"text": text} if _is_current(item) else {"kind": "text", "text": text}


def _write_task(
    item: Item,
    turn: Turn,
    state: str,
    now: datetime,
    *,
    message: Mapping[str, Any] | None = None,
    artifacts: Sequence[Mapping[str, Any]] = (),
) -> Answer:
    is_current = _is_current(item)
    status: dict[str, Any] = {
        "state": f"TASK_STATE_{state.upper().replace('-', '_')}" if is_current else state,
        "timestamp": now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if message is not None:
        status["message"] = message
    task: dict[str, Any] = {"id": turn.task_id, "contextId": turn.context_id, "status": status}
    if artifacts:
        task["artifacts"] = list(artifacts)
    return Answer(result={"task": task} if is_current else {"kind": "task", **task})
