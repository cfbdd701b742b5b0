"""Converts workspaces, facts and events between protobuf and the model."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from molecule_a2a.agent_security import NO_SECURITY, AgentSecurity
from protos.registry.v1 import registry_pb2 as pb
from services.chassis.timestamps import duration_from_timedelta, timestamp_from_datetime
from services.registry.errors.workspaces import InvalidValue
from services.registry.wire.provisioning import build_provisioning
from services.registry.workspace import routes, validation
from services.registry.workspace.agent_security import find_secret_key
from services.registry.workspace.events import Event
from services.registry.workspace.facts import (
    Fact,
    HeartbeatReceived,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    ProvisioningFailed,
    ProvisioningPossible,
    StopFailed,
    UpstreamDead,
)
from services.registry.workspace.model import (
    Brief,
    Declarations,
    DeliveryMode,
    DesiredState,
    HeartbeatNotice,
    ListedWorkspace,
    SignatureState,
    Status,
    Workspace,
)
from services.registry.workspace.status_texts import describe_exit
from services.registry.workspace.validation import MAX_CARD_BYTES, InitialMemory, WorkspaceDraft

MAX_MONTHLY_SPEND_CENTS = 10**12
"""A higher monthly spend, in cents, is reduced to this."""

MAX_AGENT_TEXT_CHARS = 4096
"""Longer error samples and task names are cut."""

# In ──────────────────────────────────────────────────────────────────────────


def parse_draft(request: pb.CreateWorkspaceRequest) -> WorkspaceDraft:
    """Return the draft of a create request; raises `InvalidWorkspace` for a tier outside its range."""
    return WorkspaceDraft(
        name=request.name,
        role=request.role,
        runtime=request.runtime,
        model=request.model,
        template=request.template,
        tier=validation.validate_tier(request.tier) if request.HasField("tier") else 0,
        parent_id=request.parent_id if request.HasField("parent_id") else None,
        external=request.external,
        url=request.url,
        delivery_mode=request.delivery_mode,
        workspace_dir=request.workspace_dir,
        workspace_access=request.workspace_access,
        budget_limit=request.budget_limit if request.HasField("budget_limit") else None,
        max_concurrent_tasks=request.max_concurrent_tasks,
        hibernation_idle_minutes=(
            request.hibernation_idle_minutes if request.HasField("hibernation_idle_minutes") else None
        ),
        x=request.x,
        y=request.y,
        secrets=dict(request.secrets),
        initial_memories=tuple(InitialMemory(memory.content, memory.scope) for memory in request.initial_memories),
    )


def parse_changes(request: pb.UpdateWorkspaceRequest) -> Mapping[str, Any]:
    """Return the fields to change by name, `None` for a field that is to be cleared; raises `InvalidValue`."""
    known = pb.WorkspaceChanges.DESCRIPTOR.fields_by_name
    for path in request.update_mask.paths:
        if path not in known:
            raise InvalidValue(field=path)
    if not request.update_mask.paths and not request.allow_empty_mask:
        raise InvalidValue(field="update_mask")
    given = {field.name: value for field, value in request.changes.ListFields()}
    return {path: given.get(path) for path in request.update_mask.paths}


def parse_heartbeat(request: pb.HeartbeatRequest, *, at: datetime, generation: int | None) -> HeartbeatReceived:
    """Return the heartbeat; `at` is the server's time, `generation` the one of the caller's token."""
    return HeartbeatReceived(
        at=at,
        generation=generation,
        error_rate=request.error_rate,
        sample_error=_clean_text(request.sample_error),
        current_task=_clean_text(request.current_task),
        active_tasks=max(request.active_tasks, 0),
        uptime_seconds=max(request.uptime_seconds, 0),
        monthly_spend=min(max(request.monthly_spend, 0), MAX_MONTHLY_SPEND_CENTS),
        wedged=request.runtime_state == "wedged",
        declarations=parse_declarations(request.declarations) if request.HasField("declarations") else None,
        card=request.agent_card
        if request.HasField("agent_card") and len(request.agent_card) <= MAX_CARD_BYTES
        else None,
    )


def parse_declarations(message: pb.Declarations) -> Declarations:
    """Return the declarations of an agent; a capability that is false counts as absent."""
    seconds = message.idle_timeout_seconds if message.HasField("idle_timeout_seconds") else 0
    return Declarations(
        capabilities=frozenset(name for name, does in message.capabilities.items() if does and name),
        idle_timeout=timedelta(seconds=min(seconds, _MAX_IDLE_TIMEOUT_SECONDS)) if seconds > 0 else None,
    )


def parse_fact(request: pb.ReportFactRequest, at: datetime) -> Fact:  # noqa: PLR0911 - one line for each fact
    """Return the reported fact; raises `InvalidValue` if the request has none."""
    generation = request.generation
    match request.WhichOneof("fact"):
        case "instance_started":
            started = request.instance_started
            return InstanceStarted(
                at=at,
                generation=generation,
                backend=started.backend,
                address=started.address,
                reference=started.reference,
            )
        case "instance_skipped":
            return InstanceSkipped(at=at, generation=generation, backend=request.instance_skipped.backend)
        case "instance_exited":
            exited = request.instance_exited
            return InstanceExited(
                at=at,
                generation=generation,
                reference=exited.reference,
                exit_code=exited.exit_code if exited.HasField("exit_code") else None,
            )
        case "instance_stopped":
            return InstanceStopped(at=at, generation=generation)
        case "stop_failed":
            return StopFailed(at=at, generation=generation, text=request.stop_failed.text or "no reason given")
        case "provisioning_failed":
            failed = request.provisioning_failed
            return ProvisioningFailed(
                at=at, generation=generation, error=failed.error or "provisioning failed", missing=tuple(failed.missing)
            )
        case "provisioning_possible":
            return ProvisioningPossible(at=at, generation=generation)
        case "upstream_dead":
            return UpstreamDead(at=at, generation=generation)
        case None:
            raise InvalidValue(field="fact")
        case other:
            assert_never(other)


def parse_delivery_mode(value: pb.DeliveryMode.ValueType) -> DeliveryMode | None:
    """Return the delivery mode; `None` if unspecified."""
    return _DELIVERY_MODES_BY_NUMBER.get(value)


# Out ─────────────────────────────────────────────────────────────────────────


def build_workspace(listed: ListedWorkspace, provision_timeout: timedelta | None = None) -> pb.Workspace:
    """Return a workspace as callers outside the plane see it; `provision_timeout` is the one its runtime declares."""
    workspace, vitals = listed.workspace, listed.workspace.vitals
    return pb.Workspace(
        id=workspace.id,
        name=workspace.name,
        role=workspace.role,
        tier=workspace.tier,
        status=build_status(workspace.status),
        status_reason=workspace.status_reason,
        status_detail=workspace.status_detail,
        status_since=timestamp_from_datetime(workspace.status_since),
        status_event_id=workspace.status_event_id,
        runtime=workspace.runtime,
        model=workspace.model,
        delivery_mode=build_delivery_mode(workspace.delivery_mode),
        url=workspace.url or workspace.backend_address,
        agent_card=listed.card,
        parent_id=workspace.parent_id,
        org_id=workspace.org_id,
        active_tasks=vitals.active_tasks,
        max_concurrent_tasks=workspace.max_concurrent_tasks,
        uptime_seconds=vitals.uptime_seconds,
        last_error_rate=vitals.error_rate,
        last_sample_error=vitals.sample_error,
        current_task=vitals.current_task,
        last_outbound_at=timestamp_from_datetime(listed.last_sent_at) if listed.last_sent_at else None,
        hibernation_idle_minutes=workspace.hibernation_idle_minutes,
        x=workspace.x,
        y=workspace.y,
        collapsed=workspace.collapsed,
        workspace_dir=workspace.workspace_dir,
        workspace_access=workspace.workspace_access,
        budget_limit=workspace.budget_limit,
        monthly_spend=vitals.monthly_spend,
        provision_timeout=duration_from_timedelta(provision_timeout) if provision_timeout else None,
        created_at=timestamp_from_datetime(workspace.created_at),
        generation=workspace.generation,
        external=workspace.external,
        restart_count=workspace.restart_count,
        last_exit=_build_exit(workspace.last_exit_at, workspace.last_exit_code),
        card_signature=build_card_signature(workspace.card_signature),
        agent_security=_build_security(workspace.agent_security),
        provisioning=build_provisioning(listed.provisioning) if listed.provisioning else None,
    )


def build_card(listed: ListedWorkspace) -> pb.GetCardResponse:
    """Return the card of a workspace."""
    stored_at = listed.card_stored_at
    return pb.GetCardResponse(
        agent_card=listed.card or b"",
        name=listed.workspace.name,
        stored_at=None if stored_at is None else timestamp_from_datetime(stored_at),
        delivery_mode=build_delivery_mode(listed.workspace.delivery_mode),
    )


def build_card_signature(state: SignatureState | None) -> pb.CardSignature.ValueType:
    """Return what the signatures of a card prove."""
    if state is None:
        return pb.CARD_SIGNATURE_UNSPECIFIED
    return pb.CardSignature.Value(f"CARD_SIGNATURE_{state.name}")


def _build_security(security: AgentSecurity) -> pb.AgentSecurity | None:
    if security == NO_SECURITY:
        return None
    return pb.AgentSecurity(
        required=security.required,
        alternatives=[
            pb.SecurityAlternative(
                schemes=[
                    pb.SecurityScheme(
                        name=one.name, kind=one.kind.value, parameter=one.parameter, secret_key=find_secret_key(one)
                    )
                    for one in each
                ]
            )
            for each in security.alternatives
        ],
    )


def _build_exit(at: datetime | None, code: int | None) -> pb.InstanceExit | None:
    if at is None:
        return None
    exited = pb.InstanceExit(at=timestamp_from_datetime(at), text=describe_exit(code))
    if code is not None and code < 0:
        exited.signal = -code
    elif code is not None:
        exited.code = code
    return exited


def build_record(
    workspace: Workspace, adapter_module: str, command: Sequence[str] = (), *, image: str = ""
) -> pb.WorkspaceRecord:
    """Return a workspace as the other services see it."""
    address = routes.find_address(workspace)
    return pb.WorkspaceRecord(
        id=workspace.id,
        name=workspace.name,
        parent_id=workspace.parent_id,
        org_id=workspace.org_id,
        status=build_status(workspace.status),
        status_reason=workspace.status_reason,
        status_since=timestamp_from_datetime(workspace.status_since),
        runtime=workspace.runtime,
        model=workspace.model,
        tier=workspace.tier,
        external=workspace.external,
        generation=workspace.generation,
        desired_state=_DESIRED_STATES[routes.find_desired_state(workspace)],
        delivery_mode=build_delivery_mode(workspace.delivery_mode),
        address=address.url,
        address_trusted=address.trusted,
        max_concurrent_tasks=workspace.max_concurrent_tasks,
        budget_limit=workspace.budget_limit,
        monthly_spend=workspace.vitals.monthly_spend,
        declarations=build_declarations(workspace.declarations),
        adapter_module=adapter_module,
        command=command,
        image=image,
        workspace_dir=workspace.workspace_dir,
        workspace_access=workspace.workspace_access,
        instance_reference=workspace.instance_reference,
        revision=workspace.revision,
        brief=build_brief(workspace.brief),
        starter_files=workspace.starter_files_digest,
        template=workspace.template,
        registered_at=None if workspace.registered_at is None else timestamp_from_datetime(workspace.registered_at),
        interfaces=[
            pb.AgentInterface(url=one.url, binding=one.binding, version=one.version, tenant=one.tenant)
            for one in workspace.interfaces
        ],
        agent_security=_build_security(workspace.agent_security),
        extension_headers=workspace.extension_headers,
        hibernates_when_idle=workspace.hibernates_when_idle,
        is_idle_checked=workspace.idle_check_at is not None,
    )


def build_brief(brief: Brief) -> pb.Brief | None:
    """Return the brief; `None` for an empty one."""
    if brief == Brief():
        return None
    return pb.Brief(
        initial_prompt=brief.initial_prompt,
        idle_prompt=brief.idle_prompt,
        schedules=[
            pb.DeclaredSchedule(
                name=one.name, cron_expr=one.cron_expr, prompt=one.prompt, timezone=one.timezone, enabled=one.enabled
            )
            for one in brief.schedules
        ],
        plugins=brief.plugins,
    )


def build_declarations(declarations: Declarations) -> pb.Declarations:
    """Return the declarations of an agent."""
    idle = declarations.idle_timeout
    return pb.Declarations(
        capabilities=dict.fromkeys(sorted(declarations.capabilities), True),
        idle_timeout_seconds=int(idle.total_seconds()) if idle else None,
    )


def build_heartbeat_notice(notice: HeartbeatNotice) -> pb.HeartbeatNotice:
    """Return the notice of a heartbeat."""
    return pb.HeartbeatNotice(
        workspace_id=notice.workspace_id,
        active_tasks=notice.active_tasks,
        current_task=notice.current_task,
        uptime_seconds=notice.uptime_seconds,
    )


def build_event(event: Event) -> pb.Event:
    """Return a stored event."""
    return pb.Event(
        id=event.id,
        event_id=event.event_id,
        event_type=event.type,
        workspace_id=event.workspace_id,
        payload=event.payload.encode(),
        created_at=timestamp_from_datetime(event.created_at),
    )


def build_status_counts(counts: Mapping[Status, int]) -> list[pb.StatusCount]:
    """Return one count for each status, also for those without a workspace."""
    return [pb.StatusCount(status=build_status(status), count=counts.get(status, 0)) for status in Status]


def build_status(status: Status) -> pb.WorkspaceStatus.ValueType:
    """Return the enum value of a status."""
    return _STATUSES[status]


def build_delivery_mode(mode: DeliveryMode) -> pb.DeliveryMode.ValueType:
    """Return the enum value of a delivery mode."""
    return _DELIVERY_MODES[mode]


def _clean_text(text: str) -> str:
    """Return a text of an agent without NUL, which PostgreSQL cannot store, and cut to its limit."""
    return text.replace("\0", "")[:MAX_AGENT_TEXT_CHARS]


_STATUSES = {status: pb.WorkspaceStatus.Value(f"WORKSPACE_STATUS_{status.name}") for status in Status}

_MAX_IDLE_TIMEOUT_SECONDS = int(timedelta(days=365).total_seconds())

_DELIVERY_MODES = {
    DeliveryMode.PUSH: pb.DELIVERY_MODE_PUSH,
    DeliveryMode.POLL: pb.DELIVERY_MODE_POLL,
}
_DELIVERY_MODES_BY_NUMBER = {number: mode for mode, number in _DELIVERY_MODES.items()}

_DESIRED_STATES = {
    DesiredState.RUNNING: pb.DESIRED_STATE_RUNNING,
    DesiredState.STOPPED: pb.DESIRED_STATE_STOPPED,
    DesiredState.UNTOUCHED: pb.DESIRED_STATE_UNTOUCHED,
    DesiredState.FORGOTTEN: pb.DESIRED_STATE_FORGOTTEN,
}
