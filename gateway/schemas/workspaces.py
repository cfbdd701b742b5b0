"""Workspaces: what the routes take, and what they answer."""

from typing import Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.connections import Connection
from gateway.schemas.names import CARD_SIGNATURES, CardSignatureName, DateTime, DeliveryModeName, WorkspaceStatusName
from gateway.schemas.request_model import ClampedInt32, Int32, Int64, NonEmptyText, RequestModel, WorkspaceId
from protos.registry.v1 import registry_pb2
from services.chassis.strict_json import drop_zero_fraction


class CanvasPosition(RequestModel, title="Place"):
    """Where a workspace stands on the canvas."""

    x: float = 0
    y: float = 0


class InitialMemory(RequestModel):
    """A memory that a new workspace begins with."""

    content: str = ""
    scope: str = ""


class NewWorkspace(RequestModel):
    """Body of POST /workspaces."""

    name: NonEmptyText
    role: str = ""
    model: str = ""
    runtime: str = ""
    template: str = ""
    tier: ClampedInt32 | None = None
    parent_id: WorkspaceId | None = None
    external: bool = False
    url: str = ""
    delivery_mode: str = ""
    workspace_dir: str = ""
    workspace_access: str = ""
    budget_limit: Int64 | None = None
    max_concurrent_tasks: Int32 = 0
    hibernation_idle_minutes: Int32 | None = None
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    canvas: CanvasPosition = CanvasPosition()
    initial_memories: list[InitialMemory] = Field(default_factory=list)


class WorkspaceChanges(RequestModel, title="Changes"):
    """Body of PATCH /workspaces/{id}: what is absent stays as it is."""

    name: str = ""
    role: str = ""
    x: float = 0
    y: float = 0
    collapsed: bool = False
    max_concurrent_tasks: Int32 = 0
    hibernation_idle_minutes: Int32 | None = None
    parent_id: WorkspaceId | None = None
    tier: Int32 = 0
    workspace_dir: str | None = None
    runtime: str = ""


class RestartOptions(RequestModel, title="Restart"):
    """Body of POST /workspaces/{id}/restart."""

    template: str = ""
    apply_template: bool = False
    rebuild_config: bool = False
    reset: bool = False


class CreatedWorkspace(TypedDict):
    """Answer of a create: of the last four keys, those that belong to the kind of workspace."""

    id: str
    status: WorkspaceStatusName
    awareness_namespace: NotRequired[str]
    workspace_access: NotRequired[str]
    external: NotRequired[bool]
    connection: NotRequired[Connection]


class WorkspaceUpdateResult(TypedDict):
    """Answer of PATCH."""

    status: Literal["updated"]
    needs_restart: NotRequired[bool]
    model_was_reset: NotRequired[bool]
    model: NotRequired[str]


class RemovalResult(TypedDict):
    """Answer of DELETE."""

    status: Literal["removed", "purged"]
    cascade_deleted: int


class RestartResult(TypedDict):
    """Answer of a restart."""

    status: WorkspaceStatusName
    config_dir: str
    reset_session: bool


class InstanceExit(TypedDict):
    """How an instance ended: with a code, by a signal, or neither is known."""

    code: NotRequired[int]
    signal: NotRequired[int]
    at: str
    text: str


class SecurityScheme(TypedDict):
    """A security scheme that an agent requires, and the secret with which the plane fulfils it, if it can."""

    scheme: str
    type: str
    secret: str | None


class AgentSecurity(TypedDict):
    """What an agent requires of the plane: one of the alternatives, each a set of schemes."""

    required: bool
    alternatives: list[list[SecurityScheme]]


class BackendEvent(TypedDict):
    """Something that the backend did for a start, or that happened to the instance."""

    at: DateTime
    kind: str
    text: str
    exit_code: NotRequired[int]


class Provisioning(TypedDict):
    """Where the start of a workspace stands. `position` 0 is in progress, 1 is the next one that waits."""

    step: Literal["queued", "resolving", "pulling", "starting", "waiting_for_register", "waiting_to_retry", "failed"]
    reason: str | None
    text: str
    position: int | None
    since: DateTime | None
    deadline: DateTime | None
    next_attempt_at: DateTime | None
    missing: list[str]
    events: list[BackendEvent]


class Workspace(TypedDict):
    """A workspace, read alone; `provisioning` only while a managed one is provisioning or failed."""

    id: str
    name: str
    role: str | None
    tier: int
    status: WorkspaceStatusName
    status_reason: str
    status_detail: str
    status_since: DateTime
    status_event_id: int
    restart_count: int
    last_exit: InstanceExit | None
    runtime: str
    delivery_mode: DeliveryModeName
    url: str
    agent_card: Any
    card_signature: CardSignatureName | None
    agent_security: AgentSecurity | None
    parent_id: str | None
    active_tasks: int
    max_concurrent_tasks: int
    uptime_seconds: int
    last_error_rate: float
    current_task: str
    last_outbound_at: DateTime | None
    hibernation_idle_minutes: int | None
    x: float
    y: float
    collapsed: bool
    provision_timeout_ms: NotRequired[int]
    provisioning: NotRequired[Provisioning]


class ListedWorkspace(Workspace):
    """A workspace in the list of them."""

    last_sample_error: str
    workspace_dir: str | None
    budget_limit: int | None
    monthly_spend: int


def render_workspace(message: registry_pb2.Workspace) -> Workspace:
    """Return the workspace object of docs/spec/rest.md."""
    rendered = Workspace(
        id=message.id,
        name=message.name,
        role=message.role if message.HasField("role") else None,
        tier=message.tier,
        status=render_status(message.status),
        status_reason=message.status_reason,
        status_detail=message.status_detail,
        status_since=json_format.format_timestamp(message.status_since),
        status_event_id=message.status_event_id,
        restart_count=message.restart_count,
        last_exit=_render_exit(message.last_exit) if message.HasField("last_exit") else None,
        runtime=message.runtime,
        delivery_mode=render_delivery_mode(message.delivery_mode),
        url=message.url,
        agent_card=json_format.embed_stored(message.agent_card) if message.HasField("agent_card") else None,
        card_signature=CARD_SIGNATURES.get(message.card_signature),
        agent_security=_render_security(message.agent_security) if message.HasField("agent_security") else None,
        parent_id=message.parent_id if message.HasField("parent_id") else None,
        active_tasks=message.active_tasks,
        max_concurrent_tasks=message.max_concurrent_tasks,
        uptime_seconds=message.uptime_seconds,
        last_error_rate=drop_zero_fraction(message.last_error_rate),
        current_task=message.current_task,
        last_outbound_at=json_format.format_timestamp(message.last_outbound_at)
        if message.HasField("last_outbound_at")
        else None,
        hibernation_idle_minutes=(
            message.hibernation_idle_minutes if message.HasField("hibernation_idle_minutes") else None
        ),
        x=drop_zero_fraction(message.x),
        y=drop_zero_fraction(message.y),
        collapsed=message.collapsed,
    )
    if message.HasField("provision_timeout"):
        rendered["provision_timeout_ms"] = message.provision_timeout.ToMilliseconds()
    if message.HasField("provisioning"):
        rendered["provisioning"] = _render_provisioning(message.provisioning)
    return rendered


def _render_security(message: registry_pb2.AgentSecurity) -> AgentSecurity:
    return AgentSecurity(
        required=message.required,
        alternatives=[
            [
                SecurityScheme(
                    scheme=one.name, type=one.kind, secret=one.secret_key if one.HasField("secret_key") else None
                )
                for one in alternative.schemes
            ]
            for alternative in message.alternatives
        ],
    )


def _render_provisioning(message: registry_pb2.Provisioning) -> Provisioning:
    return Provisioning(
        step=cast("Any", message.step),
        reason=message.reason or None,
        text=message.text,
        position=message.position if message.HasField("position") else None,
        since=_render_time(message, "since"),
        deadline=_render_time(message, "deadline"),
        next_attempt_at=_render_time(message, "next_attempt_at"),
        missing=list(message.missing),
        events=[_render_event(event) for event in message.events],
    )


def _render_event(message: registry_pb2.BackendEvent) -> BackendEvent:
    rendered = BackendEvent(at=json_format.format_timestamp(message.at), kind=message.kind, text=message.text)
    if message.HasField("exit_code"):
        rendered["exit_code"] = message.exit_code
    return rendered


def _render_time(
    message: registry_pb2.Provisioning, field: Literal["since", "deadline", "next_attempt_at"]
) -> str | None:
    return json_format.format_timestamp(getattr(message, field)) if message.HasField(field) else None


def _render_exit(message: registry_pb2.InstanceExit) -> InstanceExit:
    rendered = InstanceExit(at=json_format.format_timestamp(message.at), text=message.text)
    if message.HasField("code"):
        rendered["code"] = message.code
    if message.HasField("signal"):
        rendered["signal"] = message.signal
    return rendered


def render_listed_workspace(message: registry_pb2.Workspace) -> ListedWorkspace:
    """Return the workspace object as the list of workspaces shows it."""
    return ListedWorkspace(
        **render_workspace(message),
        last_sample_error=message.last_sample_error,
        workspace_dir=message.workspace_dir if message.HasField("workspace_dir") else None,
        budget_limit=message.budget_limit if message.HasField("budget_limit") else None,
        monthly_spend=message.monthly_spend,
    )


def render_status(value: registry_pb2.WorkspaceStatus.ValueType) -> str:
    """Return the name of a status, such as `online`."""
    return registry_pb2.WorkspaceStatus.Name(value).removeprefix("WORKSPACE_STATUS_").lower()


def render_delivery_mode(value: registry_pb2.DeliveryMode.ValueType) -> str:
    """`push` or `poll`."""
    return registry_pb2.DeliveryMode.Name(value).removeprefix("DELIVERY_MODE_").lower()
