"""The text in what agents answer, whichever version of A2A they speak. Pure."""

from collections.abc import Iterator
from typing import Any


def answer_text(result: dict[str, Any]) -> str:
    """What an answered message says: a message's text, or a task's artifacts, or else what its status says."""
    found = result.get("task") or result.get("message") or result
    artifacts = "\n".join(_text(artifact) for artifact in found.get("artifacts") or [])
    return artifacts or _text(found) or _text(_status(found))


def event_text(result: dict[str, Any]) -> str:
    """What one event of a stream adds to the reply; empty for news that are not part of it."""
    match result:
        case {"artifactUpdate": dict(update)} | {"kind": "artifact-update", **update}:
            return _text(update.get("artifact") or {})
        case {"message": dict(message)} | {"kind": "message", **message}:
            return _text(message)
        case _:
            return ""


def _status(task: dict[str, Any]) -> dict[str, Any]:
    return (task.get("status") or {}).get("message") or {}


def _text(holder: dict[str, Any]) -> str:
    return "".join(_texts(holder.get("parts") or []))


def _texts(parts: list[dict[str, Any]]) -> Iterator[str]:
    for part in parts:
        if isinstance(part.get("text"), str):
            yield part["text"]
