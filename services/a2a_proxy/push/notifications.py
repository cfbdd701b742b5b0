"""Reads the notifications of agents, and converts them to the dialect of their receivers."""

from dataclasses import dataclass

from molecule_a2a.errors import ConversionFailed
from molecule_a2a.members import list_aliases, rename_members
from molecule_a2a.model import Dialect
from molecule_a2a.notifications import downgrade_notification, upgrade_notification
from services.a2a_proxy.model import JsonObject
from services.a2a_proxy.task_references import MAX_ID_LENGTH
from services.chassis import strict_json


class InvalidBodyError(ValueError):
    """The body is no notification about a task; the text is public."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNotification:
    """The task of a notification, and what its receiver reads; without a body only the task itself can be sent."""

    task_id: str
    body: bytes
    reads_task: bool = False


def read_notification(raw: bytes, dialect: Dialect) -> ReadNotification:
    """Return a notification of either dialect in the given one; raises `InvalidBodyError`.

    A receiver of 0.3 reads whole tasks: an update does not say what it needs, so the task is read from the agent.
    """
    try:
        event = strict_json.parse(raw)
        upgraded = upgrade_notification(event)
        task_id = _find_task_id(upgraded)
        if dialect is Dialect.CURRENT:
            return ReadNotification(task_id=task_id, body=strict_json.dump(upgraded))
        task = downgrade_notification(event)
    except (strict_json.InvalidJson, ConversionFailed):
        raise InvalidBodyError("the body is no push notification") from None
    body = b"" if task is None else strict_json.dump(task)
    return ReadNotification(task_id=task_id, body=body, reads_task="task" not in upgraded)


def _find_task_id(event: JsonObject) -> str:
    for member, name in _ID_MEMBERS.items():
        if isinstance(event.get(member), dict):
            id_ = rename_members(event[member], _ALIASES).get(name)
            if isinstance(id_, str) and 0 < len(id_) <= MAX_ID_LENGTH and "\0" not in id_:
                return id_
    raise InvalidBodyError("the push notification names no task")


_ID_MEMBERS = {"task": "id", "message": "taskId", "statusUpdate": "taskId", "artifactUpdate": "taskId"}

_ALIASES = list_aliases("taskId")
