"""Removes from events the content that only the workspace, its organisation and the operator receive."""

import json
from collections.abc import Mapping
from dataclasses import replace

from services.registry.workspace.events import (
    Broadcast,
    BroadcastType,
    Event,
    EventType,
    RelayedEventType,
    render_payload,
)

CONTENT_KEYS: Mapping[str, frozenset[str]] = {
    EventType.WORKSPACE_PROVISION_FAILED: frozenset({"log_tail"}),
    BroadcastType.TASK_UPDATED: frozenset({"current_task"}),
    RelayedEventType.DELEGATION_SENT: frozenset({"task_preview"}),
    RelayedEventType.DELEGATION_COMPLETE: frozenset({"response_preview"}),
    RelayedEventType.DELEGATION_FAILED: frozenset({"error"}),
}
"""The keys of payloads that hold content of messages or logs, by type of event (docs/spec/rest.md, 8.1)."""


def remove_content(event: Event) -> Event:
    """Return the event as it is announced to other workspaces; the same object if it has no content."""
    keys = CONTENT_KEYS.get(event.type)
    if keys is None:
        return event
    payload = json.loads(event.payload)
    if not keys & payload.keys():
        return event
    return replace(event, payload=render_payload({key: payload[key] for key in payload if key not in keys}))


def remove_broadcast_content(broadcast: Broadcast) -> Broadcast:
    """Return the broadcast as it is announced to other workspaces; the same object if it has no content."""
    keys, payload = CONTENT_KEYS.get(broadcast.type, frozenset()), broadcast.payload
    if not keys & payload.keys():
        return broadcast
    return replace(broadcast, payload={key: payload[key] for key in payload if key not in keys})
