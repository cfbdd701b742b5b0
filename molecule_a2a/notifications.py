"""Converts the bodies of push notifications: a task alone in 0.3, an event like those of a stream in 1.0."""

from molecule_a2a.errors import INVALID_PARAMS, ConversionFailed
from molecule_a2a.events import downgrade_event, upgrade_event
from molecule_a2a.model import JsonObject, Operation


def upgrade_notification(body: object) -> JsonObject:
    """Return the body that a receiver of 1.0 reads; raises `ConversionFailed` for a body that is no notification."""
    event = upgrade_event(body)
    if event is None:
        raise _build_failure()
    return event


def downgrade_notification(body: object) -> JsonObject | None:
    """Return the body that a receiver of 0.3 reads, which is a task; raises `ConversionFailed` for no notification.

    A status update becomes a task with this status. For an artifact update and a message there is no body (`None`):
    they do not say in which state the task is, so the sender reads the task and sends that.
    """
    event = downgrade_event(body, operation=Operation.SEND_STREAMING_MESSAGE)
    if event is None:
        raise _build_failure()
    if event["kind"] == "task":
        return event
    if event["kind"] != "status-update":
        return None
    return {"kind": "task", "id": event["taskId"], "contextId": event["contextId"], "status": event["status"]}


def _build_failure() -> ConversionFailed:
    return ConversionFailed(INVALID_PARAMS, "the body is no push notification of A2A")
