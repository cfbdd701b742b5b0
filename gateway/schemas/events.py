"""Stored events."""

from typing import Any

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from protos.registry.v1 import registry_pb2


class Event(TypedDict):
    """A stored event."""

    id: str
    event_id: int
    event_type: str
    workspace_id: str | None
    payload: Any
    created_at: DateTime


def render_event(message: registry_pb2.Event) -> Event:
    """Return a stored event."""
    return Event(
        id=message.id,
        event_id=message.event_id,
        event_type=message.event_type,
        workspace_id=message.workspace_id or None,
        payload=json_format.embed_stored(message.payload or b"{}"),
        created_at=json_format.format_timestamp(message.created_at),
    )
