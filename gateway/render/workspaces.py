"""Replies of the services as the JSON that the REST contract promises."""

import json
from typing import Any, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from protos.a2a_proxy.v1 import activity_pb2
from protos.registry.v1 import registry_pb2


class Workspace(TypedDict):
    """A workspace, read alone."""

    id: str
    name: str
    role: str | None
    tier: int
    status: str
    status_reason: str
    status_since: str
    status_event_id: int
    runtime: str
    delivery_mode: str
    url: str
    agent_card: Any
    parent_id: str | None
    active_tasks: int
    max_concurrent_tasks: int
    uptime_seconds: int
    last_error_rate: float
    current_task: str
    last_outbound_at: str | None
    hibernation_idle_minutes: int | None
    x: float
    y: float
    collapsed: bool
    provision_timeout_ms: NotRequired[int]


class ListedWorkspace(Workspace):
    """A workspace in the list of them."""

    last_sample_error: str
    workspace_dir: str | None
    budget_limit: int | None
    monthly_spend: int


class Peer(TypedDict):
    """A workspace as its neighbours see it."""

    id: str
    name: str
    role: str | None
    tier: int
    status: str
    agent_card: Any
    url: str
    parent_id: str | None
    active_tasks: int
    delivery_mode: str


class Event(TypedDict):
    """A stored event."""

    id: str
    event_id: int
    event_type: str
    workspace_id: str | None
    payload: Any
    created_at: str


class Activity(TypedDict):
    """One thing that an agent did or received."""

    id: str
    workspace_id: str
    activity_type: str
    source_id: str | None
    target_id: str | None
    method: str | None
    summary: str | None
    status: str
    duration_ms: int | None
    error_detail: str | None
    created_at: str
    request_body: NotRequired[Any]
    response_body: NotRequired[Any]
    tool_trace: NotRequired[Any]


def workspace(message: registry_pb2.Workspace) -> Workspace:
    """The workspace object of the contract."""
    rendered = Workspace(
        id=message.id,
        name=message.name,
        role=message.role if message.HasField("role") else None,
        tier=message.tier,
        status=status(message.status),
        status_reason=message.status_reason,
        status_since=json_format.format_timestamp(message.status_since),
        status_event_id=message.status_event_id,
        runtime=message.runtime,
        delivery_mode=delivery_mode(message.delivery_mode),
        url=message.url,
        agent_card=json.loads(message.agent_card) if message.HasField("agent_card") else None,
        parent_id=message.parent_id if message.HasField("parent_id") else None,
        active_tasks=message.active_tasks,
        max_concurrent_tasks=message.max_concurrent_tasks,
        uptime_seconds=message.uptime_seconds,
        last_error_rate=json_format.drop_zero_fraction(message.last_error_rate),
        current_task=message.current_task,
        last_outbound_at=json_format.format_timestamp(message.last_outbound_at)
        if message.HasField("last_outbound_at")
        else None,
        hibernation_idle_minutes=(
            message.hibernation_idle_minutes if message.HasField("hibernation_idle_minutes") else None
        ),
        x=json_format.drop_zero_fraction(message.x),
        y=json_format.drop_zero_fraction(message.y),
        collapsed=message.collapsed,
    )
    if message.HasField("provision_timeout"):
        rendered["provision_timeout_ms"] = message.provision_timeout.ToMilliseconds()
    return rendered


def listed_workspace(message: registry_pb2.Workspace) -> ListedWorkspace:
    """The workspace object as it stands in the list."""
    return ListedWorkspace(
        **workspace(message),
        last_sample_error=message.last_sample_error,
        workspace_dir=message.workspace_dir if message.HasField("workspace_dir") else None,
        budget_limit=message.budget_limit if message.HasField("budget_limit") else None,
        monthly_spend=message.monthly_spend,
    )


def peer(message: registry_pb2.Workspace) -> Peer:
    """A workspace as its neighbours see it."""
    return Peer(
        id=message.id,
        name=message.name,
        role=message.role if message.HasField("role") else None,
        tier=message.tier,
        status=status(message.status),
        agent_card=json.loads(message.agent_card) if message.HasField("agent_card") else None,
        url=message.url,
        parent_id=message.parent_id if message.HasField("parent_id") else None,
        active_tasks=message.active_tasks,
        delivery_mode=delivery_mode(message.delivery_mode),
    )


def event(message: registry_pb2.Event) -> Event:
    """A stored event."""
    return Event(
        id=message.id,
        event_id=message.event_id,
        event_type=message.event_type,
        workspace_id=message.workspace_id or None,
        payload=json.loads(message.payload or b"{}"),
        created_at=json_format.format_timestamp(message.created_at),
    )


def activity(message: activity_pb2.Activity) -> Activity:
    """An activity row; bodies only where there are any."""
    rendered = Activity(
        id=message.id,
        workspace_id=message.workspace_id,
        activity_type=message.activity_type,
        source_id=message.source_id if message.HasField("source_id") else None,
        target_id=message.target_id if message.HasField("target_id") else None,
        method=message.method if message.HasField("method") else None,
        summary=message.summary if message.HasField("summary") else None,
        status=message.status,
        duration_ms=message.duration_ms if message.HasField("duration_ms") else None,
        error_detail=message.error_detail if message.HasField("error_detail") else None,
        created_at=json_format.format_timestamp(message.created_at),
    )
    if message.HasField("request_body"):
        rendered["request_body"] = json.loads(message.request_body)
    if message.HasField("response_body"):
        rendered["response_body"] = json.loads(message.response_body)
    if message.HasField("tool_trace"):
        rendered["tool_trace"] = json.loads(message.tool_trace)
    return rendered


def status(value: registry_pb2.WorkspaceStatus.ValueType) -> str:
    """The name of a status, such as `online`."""
    return registry_pb2.WorkspaceStatus.Name(value).removeprefix("WORKSPACE_STATUS_").lower()


def delivery_mode(value: registry_pb2.DeliveryMode.ValueType) -> str:
    """`push` or `poll`."""
    return registry_pb2.DeliveryMode.Name(value).removeprefix("DELIVERY_MODE_").lower()
