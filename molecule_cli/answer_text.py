"""Extracts the text from agents' answers in both versions of A2A. Pure."""

from collections.abc import Mapping
from typing import Any


def extract_answer(result: Mapping[str, Any]) -> str:
    """Return the text of an answer: of a message, of a task's artifacts, or else of the task's status."""
    reply = _get_object(result, "task") or _get_object(result, "message") or result
    return extract_artifacts(result) or _join_texts(reply) or extract_status_text(result)


def extract_artifacts(result: Mapping[str, Any]) -> str:
    """Return the text of the artifacts of a whole task; empty for anything else."""
    reply = _get_object(result, "task") or result
    return "\n".join(_join_texts(artifact) for artifact in _get_objects(reply, "artifacts"))


def is_message(result: object) -> bool:
    """Whether the agent answered with a message instead of a task."""
    if not isinstance(result, dict):
        return False
    return isinstance(result.get("parts"), list) or isinstance(result.get("message"), dict)


def extract_status_text(result: Mapping[str, Any]) -> str:
    """Return the text that explains the state of a task, in an answer or a status event."""
    reply = _get_object(result, "task") or _get_object(result, "statusUpdate") or result
    return _join_texts(_get_object(_get_object(reply, "status"), "message"))


def extract_event(result: Mapping[str, Any]) -> str:
    """Return the text that one event of a stream adds to the reply; empty for events that are not part of it."""
    match result:
        case {"artifactUpdate": dict(update)} | {"kind": "artifact-update", **update}:
            return _join_texts(_get_object(update, "artifact"))
        case {"message": dict(message)}:
            return _join_texts(message)
        case {"parts": [*_]}:
            return _join_texts(result)
        case _:
            return ""


def _join_texts(message: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in _get_objects(message, "parts") if isinstance(part.get("text"), str))


def _get_object(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a member that is an object; empty for any other, since an agent may send any JSON."""
    found = whole.get(name)
    return found if isinstance(found, dict) else {}


def _get_objects(whole: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = whole.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
