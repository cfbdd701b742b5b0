"""Converts tasks and their statuses."""

from molecule_a2a.members import convert_list_member, convert_member, fill_members, list_aliases, rename_members
from molecule_a2a.messages import downgrade_artifact, downgrade_message, upgrade_artifact, upgrade_message
from molecule_a2a.model import JsonObject
from molecule_a2a.timestamps import upgrade_status_time

STATES = {
    "unknown": "TASK_STATE_UNSPECIFIED",
    "submitted": "TASK_STATE_SUBMITTED",
    "working": "TASK_STATE_WORKING",
    "completed": "TASK_STATE_COMPLETED",
    "failed": "TASK_STATE_FAILED",
    "canceled": "TASK_STATE_CANCELED",
    "input-required": "TASK_STATE_INPUT_REQUIRED",
    "rejected": "TASK_STATE_REJECTED",
    "auth-required": "TASK_STATE_AUTH_REQUIRED",
}
"""The states of 0.3 with their names in 1.0, in the order of their numbers."""

TERMINAL_STATES = frozenset({"completed", "failed", "canceled", "rejected"})
INTERRUPTED_STATES = frozenset({"input-required", "auth-required"})

STATE_PREFIX = "TASK_STATE_"

KIND = "task"


def upgrade_task(task: JsonObject) -> JsonObject:
    """Return a task of 1.0. `sessionId` of 0.1 becomes `contextId` if there is none."""
    upgraded = task.copy()
    if upgraded.get("kind") == KIND:
        del upgraded["kind"]
    if upgraded.get("contextId") is None and "sessionId" in upgraded:
        upgraded["contextId"] = upgraded.pop("sessionId")
    convert_member(upgraded, "status", upgrade_status)
    convert_list_member(upgraded, "artifacts", upgrade_artifact)
    convert_list_member(upgraded, "history", upgrade_message)
    return upgraded


def downgrade_task(task: JsonObject) -> JsonObject:
    downgraded = {**rename_members(task, _TASK_ALIASES), "kind": KIND}
    fill_members(downgraded, ("id", "contextId"), "")
    downgraded["status"] = downgrade_status(downgraded.get("status"))
    convert_list_member(downgraded, "artifacts", downgrade_artifact)
    convert_list_member(downgraded, "history", downgrade_message)
    return downgraded


def upgrade_status(status: JsonObject) -> JsonObject:
    """Return a status of 1.0. A timestamp that is no time is left out, because 1.0 cannot express it."""
    upgraded = status.copy()
    if "state" in upgraded:
        upgraded["state"] = upgrade_state(upgraded["state"])
    convert_member(upgraded, "message", upgrade_message)
    return upgrade_status_time(upgraded)


def downgrade_status(status: object) -> JsonObject:
    """Return a status of 0.3, where a task always has one."""
    downgraded = status.copy() if isinstance(status, dict) else {}
    downgraded["state"] = downgrade_state(downgraded.get("state"))
    convert_member(downgraded, "message", downgrade_message)
    return downgraded


def upgrade_state(state: object) -> object:
    """Return a state of 1.0; a text that is no state is an unknown one."""
    if not isinstance(state, str):
        return state
    known = STATES.get(_correct_spelling(state))
    if known is not None:
        return known
    return _correct_spelling(state) if state.startswith(STATE_PREFIX) else STATES["unknown"]


def downgrade_state(state: object) -> str:
    """Return a state of 0.3; anything that is no state is `unknown`. ProtoJSON allows the number of a state."""
    if isinstance(state, str):
        state = _correct_spelling(state)
        return state if state in STATES else _LEGACY_STATES.get(state, "unknown")
    return _STATES_BY_NUMBER.get(state, "unknown") if isinstance(state, int) else "unknown"


_LEGACY_STATES = {current: legacy for legacy, current in STATES.items()}
_STATES_BY_NUMBER = dict(enumerate(STATES))

_TASK_ALIASES = list_aliases("contextId")


def _correct_spelling(state: str) -> str:
    """Return `canceled` for `cancelled`, as the protobuf form of 0.3 spells it."""
    return {"cancelled": "canceled", "TASK_STATE_CANCELLED": "TASK_STATE_CANCELED"}.get(state, state)
