"""Reads and renders tasks and events in the proto JSON of 0.3: an event is wrapped into a member that names it."""

from collections.abc import Callable

from molecule_a2a.events import MEMBERS
from molecule_a2a.members import convert_list_member, convert_member, list_aliases, rename_members
from molecule_a2a.model import JsonObject
from molecule_a2a.rest.proto_messages import (
    read_artifact,
    read_message,
    render_artifact,
    render_message,
    select_members,
)
from molecule_a2a.tasks import STATES, downgrade_state

TASK_MEMBERS = ("id", "contextId", "status", "artifacts", "history", "metadata")
STATUS_MEMBERS = ("state", "message", "timestamp")
STATUS_UPDATE_MEMBERS = ("taskId", "contextId", "status", "final", "metadata")
ARTIFACT_UPDATE_MEMBERS = ("taskId", "contextId", "artifact", "append", "lastChunk", "metadata")


def read_task(task: JsonObject) -> JsonObject:
    """Return the task that a proto task stands for."""
    read = {**rename_members(task, _TASK_ALIASES), "kind": "task"}
    convert_member(read, "status", _read_status)
    convert_list_member(read, "artifacts", read_artifact)
    convert_list_member(read, "history", read_message)
    return read


def render_task(task: JsonObject) -> JsonObject:
    """Return the proto task of a task."""
    rendered = select_members(task, TASK_MEMBERS)
    convert_member(rendered, "status", _render_status)
    convert_list_member(rendered, "artifacts", render_artifact)
    convert_list_member(rendered, "history", render_message)
    return rendered


def read_event(event: JsonObject) -> JsonObject | None:
    """Return the event that a proto event wraps; `None` for something else."""
    named = rename_members(event, _EVENT_ALIASES)
    member = next((name for name in _READERS if isinstance(named.get(name), dict)), None)
    return None if member is None else _READERS[member](named[member])


def render_event(event: JsonObject) -> JsonObject | None:
    """Return the proto event of an event; `None` for something else."""
    kind = event.get("kind")
    member = MEMBERS.get(kind) if isinstance(kind, str) else None
    return None if member is None else {member: _RENDERERS[member](event)}


def _read_status_update(update: JsonObject) -> JsonObject:
    """Return the update. ProtoJSON leaves out `final` when it is false."""
    read = {"final": False, **rename_members(update, _UPDATE_ALIASES), "kind": "status-update"}
    convert_member(read, "status", _read_status)
    return read


def _render_status_update(update: JsonObject) -> JsonObject:
    rendered = select_members(update, STATUS_UPDATE_MEMBERS)
    convert_member(rendered, "status", _render_status)
    return rendered


def _read_artifact_update(update: JsonObject) -> JsonObject:
    read = {**rename_members(update, _UPDATE_ALIASES), "kind": "artifact-update"}
    convert_member(read, "artifact", read_artifact)
    return read


def _render_artifact_update(update: JsonObject) -> JsonObject:
    rendered = select_members(update, ARTIFACT_UPDATE_MEMBERS)
    convert_member(rendered, "artifact", render_artifact)
    return rendered


def _read_status(status: JsonObject) -> JsonObject:
    read = {**rename_members(status, _STATUS_ALIASES)}
    read["state"] = downgrade_state(read.get("state"))
    convert_member(read, "message", read_message)
    return read


def _render_status(status: JsonObject) -> JsonObject:
    rendered = select_members(status, STATUS_MEMBERS)
    state = status.get("state")
    if isinstance(state, str):
        rendered["state"] = _PROTO_STATES.get(state, state)
    convert_member(rendered, "message", render_message)
    return rendered


_TASK_ALIASES = list_aliases("contextId")
_UPDATE_ALIASES = list_aliases("taskId", "contextId", "lastChunk")
_EVENT_ALIASES = {**list_aliases("statusUpdate", "artifactUpdate"), "msg": "message"}
_STATUS_ALIASES = {"update": "message"}
"""The name of a member in the proto file, whose name in JSON is another one."""

_PROTO_STATES = STATES | {"canceled": "TASK_STATE_CANCELLED"}

_READERS: dict[str, Callable[[JsonObject], JsonObject]] = {
    "task": read_task,
    "message": read_message,
    "statusUpdate": _read_status_update,
    "artifactUpdate": _read_artifact_update,
}

_RENDERERS: dict[str, Callable[[JsonObject], JsonObject]] = {
    "task": render_task,
    "message": render_message,
    "statusUpdate": _render_status_update,
    "artifactUpdate": _render_artifact_update,
}
