"""Converts what an agent tells about a message: a task, a message, or an update of a task.

0.3 names it by its `kind`; 1.0 wraps it into an object with one member, whose name says what it is.
"""

from collections.abc import Callable

from molecule_a2a.members import convert_member, fill_members, list_aliases, rename_members
from molecule_a2a.messages import downgrade_artifact, downgrade_message, upgrade_artifact, upgrade_message
from molecule_a2a.model import JsonObject, Operation
from molecule_a2a.tasks import (
    INTERRUPTED_STATES,
    TERMINAL_STATES,
    downgrade_status,
    downgrade_task,
    upgrade_status,
    upgrade_task,
)

MEMBERS = {
    "task": "task",
    "message": "message",
    "status-update": "statusUpdate",
    "artifact-update": "artifactUpdate",
}
"""The kinds of 0.3, with the members of 1.0."""


def upgrade_event(event: object) -> JsonObject | None:
    """Return an event of 1.0; `None` for something else."""
    if not isinstance(event, dict):
        return None
    member = _find_member(event)
    if member is not None:
        return {**event, member: _UPGRADES[member](event[member])}
    kind = _find_kind(event)
    return None if kind is None else {MEMBERS[kind]: _UPGRADES[MEMBERS[kind]](event)}


def downgrade_event(event: object, *, operation: Operation) -> JsonObject | None:
    """Return an event of 0.3; `None` for something else.

    A status update of a streamed message is final in a state that ends or interrupts the task, because the stream ends
    there. A subscription goes on while the task is interrupted.
    """
    if not isinstance(event, dict):
        return None
    event = rename_members(event, _WRAPPER_ALIASES)
    member = _find_member(event)
    kind = _find_kind(event) if member is None else _KINDS[member]
    if kind is None:
        return None
    downgraded = _DOWNGRADES[kind](event if member is None else event[member])
    if kind == "status-update" and (member is not None or not isinstance(event.get("final"), bool)):
        downgraded["final"] = downgraded["status"]["state"] in _list_final_states(operation)
    return downgraded


def build_task(event: JsonObject) -> JsonObject | None:
    """Return the task of 1.0 that an update of 1.0 is about, as it was before the update; `None` for anything else.

    A state that ends or interrupts the task belongs to the update, so the task itself is still at work.
    """
    if isinstance(event.get("statusUpdate"), dict):
        update = event["statusUpdate"]
        status = {name: value for name, value in _get_status(update).items() if name in {"state", "timestamp"}}
        if downgrade_status(status)["state"] in TERMINAL_STATES | INTERRUPTED_STATES:
            status = {"state": "TASK_STATE_WORKING"}
    elif isinstance(event.get("artifactUpdate"), dict):
        update, status = event["artifactUpdate"], {"state": "TASK_STATE_WORKING"}
    else:
        return None
    ids = {"id": update.get("taskId"), "contextId": update.get("contextId")}
    return {name: value for name, value in ids.items() if value is not None} | {"status": status}


def _upgrade_status_update(update: JsonObject) -> JsonObject:
    upgraded = {name: value for name, value in update.items() if name != "final"}
    _drop_kind(upgraded, "status-update")
    convert_member(upgraded, "status", upgrade_status)
    return upgraded


def _upgrade_artifact_update(update: JsonObject) -> JsonObject:
    upgraded = update.copy()
    _drop_kind(upgraded, "artifact-update")
    convert_member(upgraded, "artifact", upgrade_artifact)
    return upgraded


def _downgrade_status_update(update: JsonObject) -> JsonObject:
    downgraded = {**rename_members(update, _UPDATE_ALIASES), "kind": "status-update"}
    fill_members(downgraded, ("taskId", "contextId"), "")
    downgraded["status"] = downgrade_status(downgraded.get("status"))
    return downgraded


def _downgrade_artifact_update(update: JsonObject) -> JsonObject:
    downgraded = {**rename_members(update, _UPDATE_ALIASES), "kind": "artifact-update"}
    fill_members(downgraded, ("taskId", "contextId"), "")
    fill_members(downgraded, ("artifact",), {})
    convert_member(downgraded, "artifact", downgrade_artifact)
    return downgraded


_KINDS = {member: kind for kind, member in MEMBERS.items()}

_UPGRADES: dict[str, Callable[[JsonObject], JsonObject]] = {
    "task": upgrade_task,
    "message": upgrade_message,
    "statusUpdate": _upgrade_status_update,
    "artifactUpdate": _upgrade_artifact_update,
}

_DOWNGRADES: dict[str, Callable[[JsonObject], JsonObject]] = {
    "task": downgrade_task,
    "message": downgrade_message,
    "status-update": _downgrade_status_update,
    "artifact-update": _downgrade_artifact_update,
}

_WRAPPER_ALIASES = list_aliases("statusUpdate", "artifactUpdate")
_UPDATE_ALIASES = list_aliases("taskId", "contextId", "lastChunk")

_CONTENT_MEMBERS = frozenset({"id", "taskId", "messageId", "status", "artifact", "parts"})
"""Members that an event of 0.3 has and an event of 1.0 wraps."""


def _find_member(event: JsonObject) -> str | None:
    """Return the name of the member that an event of 1.0 has; `None` for an event that is not wrapped."""
    if not _CONTENT_MEMBERS.isdisjoint(event):
        return None
    return next((name for name in MEMBERS.values() if isinstance(event.get(name), dict)), None)


def _find_kind(event: JsonObject) -> str | None:
    """Return the kind of an event of 0.3, by its members if it names none; `None` for something else."""
    kind = event.get("kind")
    if isinstance(kind, str) and kind in MEMBERS:
        return kind
    if "artifact" in event:
        return "artifact-update"
    if "messageId" in event or "parts" in event:
        return "message"
    if "final" in event or "taskId" in event:
        return "status-update"
    return "task" if "id" in event or "status" in event else None


def _drop_kind(update: JsonObject, kind: str) -> None:
    if update.get("kind") == kind:
        del update["kind"]


def _get_status(update: JsonObject) -> JsonObject:
    status = update.get("status")
    return status if isinstance(status, dict) else {}


def _list_final_states(operation: Operation) -> frozenset[str]:
    is_subscription = operation is Operation.SUBSCRIBE_TO_TASK
    return TERMINAL_STATES if is_subscription else TERMINAL_STATES | INTERRUPTED_STATES
