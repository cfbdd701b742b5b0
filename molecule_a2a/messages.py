"""Converts messages and artifacts."""

from collections.abc import Callable

from molecule_a2a.members import fill_members, list_aliases, rename_members
from molecule_a2a.model import JsonObject
from molecule_a2a.parts import downgrade_part, upgrade_part

ROLES = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}

KIND = "message"


def upgrade_message(message: JsonObject) -> JsonObject:
    """Return a message of 1.0. `content` of 0.2 becomes `parts` if there are none."""
    upgraded = message.copy()
    if upgraded.get("kind") == KIND:
        del upgraded["kind"]
    role = upgraded.get("role")
    if isinstance(role, str):
        upgraded["role"] = ROLES.get(role, role)
    _complete_parts(upgraded)
    _convert_parts(upgraded, upgrade_part)
    return upgraded


def downgrade_message(message: JsonObject) -> JsonObject:
    """Return a message of 0.3. A role that 0.3 does not have becomes `agent`."""
    downgraded = {**rename_members(message, _MESSAGE_ALIASES), "kind": KIND}
    downgraded["role"] = "user" if downgraded.get("role") in _USER_ROLES else "agent"
    for name in ("contextId", "taskId"):
        if downgraded.get(name) == "":  # absent in ProtoJSON, the id of a task in 0.3
            del downgraded[name]
    fill_members(downgraded, ("messageId",), "")
    fill_members(downgraded, ("parts",), [])
    _convert_parts(downgraded, downgrade_part)
    return downgraded


def has_parts(message: JsonObject) -> bool:
    """Whether a message has parts, or `content` that becomes parts."""
    upgraded = message.copy()
    _complete_parts(upgraded)
    return bool(upgraded.get("parts"))


def upgrade_artifact(artifact: JsonObject) -> JsonObject:
    upgraded = artifact.copy()
    _convert_parts(upgraded, upgrade_part)
    return upgraded


def downgrade_artifact(artifact: JsonObject) -> JsonObject:
    downgraded = rename_members(artifact, _ARTIFACT_ALIASES).copy()
    fill_members(downgraded, ("artifactId",), "")
    fill_members(downgraded, ("parts",), [])
    _convert_parts(downgraded, downgrade_part)
    return downgraded


_USER_ROLES = ("user", "ROLE_USER", 1)
"""ProtoJSON allows the number of an enum for its name."""

_MESSAGE_ALIASES = list_aliases("messageId", "contextId", "taskId", "referenceTaskIds")
_ARTIFACT_ALIASES = list_aliases("artifactId")


def _complete_parts(message: JsonObject) -> None:
    """Make `parts` a list, from `content` if there are none."""
    parts = message.get("parts")
    if not parts and isinstance(message.get("content"), (str, list, dict)):
        parts = message.pop("content")
    if isinstance(parts, (str, dict)):
        parts = [parts]
    if parts is not None:
        message["parts"] = parts


def _convert_parts(target: JsonObject, convert: Callable[[object], object]) -> None:
    parts = target.get("parts")
    if isinstance(parts, list):
        target["parts"] = [convert(part) for part in parts]
