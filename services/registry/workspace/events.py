"""Builds the events that the registry stores and broadcasts when a workspace changes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never
from uuid import UUID

from services.chassis import strict_json
from services.chassis.strict_json import drop_zero_fraction
from services.registry.workspace.facts import BootstrapFailed, Fact, ProvisioningFailed
from services.registry.workspace.model import HeartbeatNotice, Reason, Status, Workspace, WorkspaceId

MAX_EVENT_PAGE_BYTES = 8 * 1024 * 1024
"""Limit on the payloads of one answer, well below the gRPC message limit."""

MAX_RELAYED_PAYLOAD_BYTES = 64 * 1024
"""Limit on the payload of an event of another service."""

MAX_RELAYED_PAYLOAD_DEPTH = 16
"""Nesting levels of such a payload."""

NON_ASCII = re.compile(r"[^\x00-\x7f]")


class EventType(StrEnum):
    """The stored events of docs/spec/rest.md, 8.1, that the registry writes."""

    WORKSPACE_PROVISIONING = "WORKSPACE_PROVISIONING"
    WORKSPACE_ONLINE = "WORKSPACE_ONLINE"
    WORKSPACE_OFFLINE = "WORKSPACE_OFFLINE"
    WORKSPACE_DEGRADED = "WORKSPACE_DEGRADED"
    WORKSPACE_AWAITING_AGENT = "WORKSPACE_AWAITING_AGENT"
    WORKSPACE_PAUSED = "WORKSPACE_PAUSED"
    WORKSPACE_HIBERNATING = "WORKSPACE_HIBERNATING"
    WORKSPACE_HIBERNATED = "WORKSPACE_HIBERNATED"
    WORKSPACE_REMOVED = "WORKSPACE_REMOVED"
    WORKSPACE_PROVISION_FAILED = "WORKSPACE_PROVISION_FAILED"
    WORKSPACE_EXPANDED = "WORKSPACE_EXPANDED"
    WORKSPACE_COLLAPSED = "WORKSPACE_COLLAPSED"
    AGENT_CARD_UPDATED = "AGENT_CARD_UPDATED"
    APPROVAL_REQUESTED = "APPROVAL_REQUESTED"
    APPROVAL_ESCALATED = "APPROVAL_ESCALATED"
    APPROVAL_APPROVED = "APPROVAL_APPROVED"
    APPROVAL_DENIED = "APPROVAL_DENIED"


class RelayedEventType(StrEnum):
    """The stored events of docs/spec/rest.md, 8.1, that arise in other services, which the registry stores for them."""

    CRON_EXECUTED = "CRON_EXECUTED"
    CRON_SKIPPED = "CRON_SKIPPED"
    DELEGATION_SENT = "DELEGATION_SENT"
    DELEGATION_STATUS = "DELEGATION_STATUS"
    DELEGATION_COMPLETE = "DELEGATION_COMPLETE"
    DELEGATION_FAILED = "DELEGATION_FAILED"


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event to be published; the transaction gives it its number, and an id where it has none."""

    type: EventType | RelayedEventType
    payload: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedEvent:
    """An event as another service sends it; nothing of it is checked yet. `payload` is to be a JSON object."""

    id: str
    type: str
    workspace_id: WorkspaceId
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A stored event. `payload` is JSON text."""

    id: str
    event_id: int
    type: str
    workspace_id: WorkspaceId
    payload: str
    created_at: datetime


class BroadcastType(StrEnum):
    """The broadcast events of docs/spec/rest.md, 8.1, that arise in the registry."""

    WORKSPACE_HEARTBEAT = "WORKSPACE_HEARTBEAT"
    TASK_UPDATED = "TASK_UPDATED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """An event that is sent to current subscribers and not stored."""

    type: BroadcastType
    workspace_id: WorkspaceId
    payload: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class EventRange:
    """The events with an id above `after` and at most `through`; `through` 0 means no upper bound."""

    after: int
    through: int = 0


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects events of the given workspaces and of one organisation; all events where neither is given.

    `org_id` is compared with the organisation of the workspace at the time of the event. Events of the workspace
    `always_including` are selected whatever its organisation was.
    """

    workspace_ids: Sequence[WorkspaceId] | None = None
    org_id: str | None = None
    always_including: WorkspaceId | None = None


def take_page(found: Sequence[Event]) -> Sequence[Event]:
    """Return as many of the first events as fit into one answer, and at least one."""
    total_bytes = 0
    for count, event in enumerate(found):
        total_bytes += len(event.payload)
        if count and total_bytes > MAX_EVENT_PAGE_BYTES:
            return found[:count]
    return found


def build_creation_event(workspace: Workspace) -> EventDraft:
    """Build the event of a created workspace."""
    return _build_event(workspace, EventType.WORKSPACE_PROVISIONING, _describe_workspace(workspace))


def build_change_events(before: Workspace, now: Workspace, fact: Fact) -> tuple[EventDraft, ...]:
    """Build the event of a change of status or generation that `fact` caused; none where both are unchanged."""
    if (before.status, before.generation) == (now.status, now.generation):
        return ()
    return (_build_change_event(before, now, fact),)


def build_registration_event(workspace: Workspace, card: Any) -> EventDraft:  # noqa: ANN401 - unvalidated JSON of an agent
    """Build the event of a register call; it is published even if the workspace was online before."""
    payload = {"agent_card": card, "url": workspace.url, "delivery_mode": workspace.delivery_mode}
    return _build_event(workspace, EventType.WORKSPACE_ONLINE, payload)


def build_removal_event(workspace: Workspace, cascade: int) -> EventDraft:
    """Build the event of a removed workspace; `cascade` descendants were removed with it."""
    payload = {"cascade_deleted": cascade} if cascade else {}
    return _build_event(workspace, EventType.WORKSPACE_REMOVED, payload)


def build_expansion_event(children: Sequence[Workspace]) -> EventDraft:
    """Build the event of a workspace whose team was created."""
    payload = [{"id": child.id, "name": child.name, "role": child.role} for child in children]
    return EventDraft(EventType.WORKSPACE_EXPANDED, {"children": payload})


def build_collapse_event(names: Sequence[str]) -> EventDraft:
    """Build the event of a workspace whose descendants were removed."""
    return EventDraft(EventType.WORKSPACE_COLLAPSED, {"removed_children": list(names)})


def build_card_event(card: Any) -> EventDraft:  # noqa: ANN401 - unvalidated JSON of an agent
    """Build the event of a replaced card."""
    return EventDraft(EventType.AGENT_CARD_UPDATED, {"agent_card": card})


def parse_relayed_event(event: RelayedEvent) -> EventDraft | None:
    """Return the event of another service to be published; `None` if it is not valid."""
    if event.type not in set(RelayedEventType) or len(event.payload) > MAX_RELAYED_PAYLOAD_BYTES:
        return None
    try:
        payload = strict_json.parse(event.payload, max_depth=MAX_RELAYED_PAYLOAD_DEPTH)
        is_uuid = str(UUID(event.id)) == event.id
    except ValueError:
        return None
    return (
        EventDraft(RelayedEventType(event.type), payload, event.id) if is_uuid and isinstance(payload, dict) else None
    )


def build_heartbeat_broadcasts(task_before: str, notice: HeartbeatNotice, at: datetime) -> tuple[Broadcast, ...]:
    """Build the broadcasts of a heartbeat; `TASK_UPDATED` only where the task changed."""
    liveness = {"active_tasks": notice.active_tasks, "uptime_seconds": notice.uptime_seconds}
    broadcasts = (_build_broadcast(BroadcastType.WORKSPACE_HEARTBEAT, notice, liveness, at),)
    if notice.current_task == task_before:
        return broadcasts
    task = {"active_tasks": notice.active_tasks, "current_task": notice.current_task}
    return _build_broadcast(BroadcastType.TASK_UPDATED, notice, task, at), *broadcasts


def _build_broadcast(
    kind: BroadcastType, notice: HeartbeatNotice, payload: Mapping[str, Any], at: datetime
) -> Broadcast:
    return Broadcast(type=kind, workspace_id=notice.workspace_id, payload=payload, at=at)


def render_payload(payload: Mapping[str, Any]) -> str:
    """Render a payload as JSON text, on one line and in ASCII: some readers of event streams split at U+2028."""
    return NON_ASCII.sub(_escape_character, strict_json.dump(payload).decode())


def _escape_character(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _build_change_event(before: Workspace, now: Workspace, fact: Fact) -> EventDraft:  # noqa: C901, PLR0911 - one line for each status
    match now.status:
        case Status.PROVISIONING:
            return _build_event(now, EventType.WORKSPACE_PROVISIONING, _describe_workspace(now))
        case Status.ONLINE:
            return _build_event(now, EventType.WORKSPACE_ONLINE, _describe_recovery(before, now))
        case Status.DEGRADED:
            return _build_event(now, EventType.WORKSPACE_DEGRADED, _describe_degradation(now))
        case Status.OFFLINE:
            return _build_event(now, EventType.WORKSPACE_OFFLINE, {})
        case Status.AWAITING_AGENT:
            return _build_event(now, EventType.WORKSPACE_AWAITING_AGENT, {"external": now.external, "name": now.name})
        case Status.FAILED:
            return _build_event(now, EventType.WORKSPACE_PROVISION_FAILED, _describe_failure(now, fact))
        case Status.PAUSED:
            return _build_event(now, EventType.WORKSPACE_PAUSED, {"name": now.name})
        case Status.HIBERNATING:
            return _build_event(now, EventType.WORKSPACE_HIBERNATING, {"name": now.name, "tier": now.tier})
        case Status.HIBERNATED:
            return _build_event(now, EventType.WORKSPACE_HIBERNATED, {"name": now.name, "tier": now.tier})
        case Status.REMOVED:
            return _build_event(now, EventType.WORKSPACE_REMOVED, {})
        case _:
            assert_never(now.status)


def _build_event(workspace: Workspace, kind: EventType, payload: Mapping[str, Any]) -> EventDraft:
    return EventDraft(
        kind,
        {
            **payload,
            "status": workspace.status,
            "status_reason": workspace.status_reason,
            "status_since": workspace.status_since.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        },
    )


def _describe_workspace(workspace: Workspace) -> dict[str, Any]:
    payload: dict[str, Any] = {"name": workspace.name, "runtime": workspace.runtime, "tier": workspace.tier}
    if workspace.parent_id is not None:
        payload["parent_id"] = workspace.parent_id
    return payload | {"x": drop_zero_fraction(workspace.x), "y": drop_zero_fraction(workspace.y)}


def _describe_recovery(before: Workspace, now: Workspace) -> dict[str, Any]:
    if now.status_reason is Reason.EXTERNAL_CREATED:
        return {"external": True, "name": now.name}
    return {"recovered_from": before.status}


def _describe_degradation(workspace: Workspace) -> dict[str, Any]:
    payload: dict[str, Any] = {"sample_error": workspace.vitals.sample_error}
    match workspace.status_reason:
        case Reason.ERROR_RATE:
            return payload | {"error_rate": drop_zero_fraction(workspace.vitals.error_rate)}
        case Reason.WEDGED:
            return payload | {"runtime_state": "wedged"}
        case _:
            return payload


def _describe_failure(workspace: Workspace, fact: Fact) -> dict[str, Any]:
    payload: dict[str, Any] = {"error": workspace.vitals.sample_error, "runtime": workspace.runtime}
    if isinstance(fact, ProvisioningFailed) and fact.missing:
        payload["missing"] = list(fact.missing)
    if isinstance(fact, BootstrapFailed) and fact.log_tail:
        payload["log_tail"] = fact.log_tail
    return payload
