"""Extracts the text from agents' answers in both versions of A2A. Pure."""

from collections.abc import Iterator
from typing import Any


def extract_answer(result: dict[str, Any]) -> str:
    """Return the text of an answer: of a message, of a task's artifacts, or else of the task's status."""
    reply = result.get("task") or result.get("message") or result
    artifacts = "\n".join(_join_texts(artifact) for artifact in reply.get("artifacts") or [])
    return artifacts or _join_texts(reply) or extract_status_text(result)


def extract_status_text(result: dict[str, Any]) -> str:
    """Return the text that explains the state of a task, in an answer or a status event."""
    reply = result.get("task") or result.get("statusUpdate") or result
    return _join_texts(_get_status_message(reply))


def extract_event(result: dict[str, Any]) -> str:
    """Return the text that one event of a stream adds to the reply; empty for events that are not part of it."""
    match result:
        case {"artifactUpdate": dict(update)} | {"kind": "artifact-update", **update}:
            return _join_texts(update.get("artifact") or {})
        case {"message": dict(message)} | {"kind": "message", **message}:
            return _join_texts(message)
        case _:
            return ""


def _get_status_message(task: dict[str, Any]) -> dict[str, Any]:
    return (task.get("status") or {}).get("message") or {}


def _join_texts(message: dict[str, Any]) -> str:
    return "".join(_iterate_texts(message.get("parts") or []))


def _iterate_texts(parts: list[dict[str, Any]]) -> Iterator[str]:
    for part in parts:
        if isinstance(part.get("text"), str):
            yield part["text"]
