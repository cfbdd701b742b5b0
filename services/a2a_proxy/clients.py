"""Calls the registry, the provisioner and auth, and returns their answers in this service's types."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, timedelta

from protos.auth.v1 import auth_pb2, auth_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2 as provisioner_pb
from protos.provisioner.v1 import provisioner_pb2_grpc as provisioner_rpc
from protos.registry.v1 import events_pb2, events_pb2_grpc, lifecycle_pb2, lifecycle_pb2_grpc
from protos.registry.v1 import registry_pb2 as registry_pb
from protos.registry.v1 import registry_pb2_grpc as registry_rpc
from services.a2a_proxy.model import (
    AgentInterface,
    DeclaredSchedule,
    DeliveryMode,
    HeartbeatReceived,
    InboundSecret,
    InstanceCondition,
    Keepalive,
    ResolvedRoute,
    Route,
    RouteChanged,
    SecurityScheme,
    SnapshotDone,
    Status,
    StoredEvent,
    WorkspaceId,
    WorkspaceUpdate,
)
from services.chassis import strict_json
from services.chassis.clients import ServiceChannel
from services.chassis.errors import NotFound, ServiceError
from services.chassis.timestamps import duration_from_timedelta

CHECK_TIMEOUT = timedelta(seconds=3)
"""Time for the check of an instance, during which the caller of a failed message waits."""


REPORT_TIMEOUT = timedelta(seconds=5)
"""Time for one part of a report of work."""

LEAVE_TIMEOUT = timedelta(seconds=1)
"""Time for the last report of a replica that stops."""

MAX_WORK_NOTICES = 1000
"""Workspaces in one part of a report of work."""

SECRET_TIMEOUT = timedelta(seconds=2)
"""Time for reading an inbound secret, during which the first message to a workspace waits."""


class RegistryClient:
    """The registry: resolves routes, streams their changes, wakes workspaces, and stores events."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = registry_rpc.RegistryServiceStub(channel.channel)
        self._lifecycle = lifecycle_pb2_grpc.LifecycleServiceStub(channel.channel)
        self._events = events_pb2_grpc.EventServiceStub(channel.channel)

    async def wake(self, target: WorkspaceId) -> None:
        """Wake a hibernated workspace; repeated calls wake it once. Raises `Unavailable`."""
        await self._channel.call(self._lifecycle.WakeWorkspace, lifecycle_pb2.WakeWorkspaceRequest(workspace_id=target))

    async def report_work(
        self,
        replica_id: str,
        seen_revision: int,
        ages: Mapping[WorkspaceId, timedelta],
        sent: Mapping[WorkspaceId, timedelta],
    ) -> None:
        """Report how long ago the work of workspaces ended, zero for work in hand; raises `Unavailable`.

        `sent` says how long ago workspaces sent a message. The revision is told with the last part of a report, because
        it says that the report is complete.
        """
        for part, _ in _split(sorted(sent.items()), MAX_WORK_NOTICES) if sent else ():
            request = lifecycle_pb2.ReportWorkRequest(replica_id=replica_id, sent=_build_notices(part))
            await self._channel.call(self._lifecycle.ReportWork, request, timeout=REPORT_TIMEOUT)
        for part, is_last in _split(sorted(ages.items()), MAX_WORK_NOTICES):
            request = lifecycle_pb2.ReportWorkRequest(
                replica_id=replica_id,
                seen_revision=seen_revision if is_last else 0,
                notices=_build_notices(part),
            )
            await self._channel.call(self._lifecycle.ReportWork, request, timeout=REPORT_TIMEOUT)

    async def leave_work(self, replica_id: str) -> None:
        """Report that this replica stops and has no work any more; raises `Unavailable`."""
        request = lifecycle_pb2.ReportWorkRequest(replica_id=replica_id, is_leaving=True)
        await self._channel.call(self._lifecycle.ReportWork, request, timeout=LEAVE_TIMEOUT)

    async def resolve(self, target: WorkspaceId, caller: WorkspaceId | None) -> ResolvedRoute:
        """Return the route to a target and whether `caller` may write to it; raises `Unavailable`."""
        request = registry_pb.ResolveRouteRequest(workspace_id=target, caller_id=caller or "")
        try:
            answer = await self._channel.call(self._stub.ResolveRoute, request)
        except NotFound:
            return ResolvedRoute(route=None, allowed=caller is None)
        return ResolvedRoute(route=_parse_route(answer.record), allowed=answer.allowed)

    async def read_card(self, target: WorkspaceId) -> bytes | None:
        """Return the card of a workspace as JSON; `None` without one. Raises `Unavailable`."""
        request = registry_pb.GetCardRequest(workspace_id=target)
        try:
            answer = await self._channel.call(self._stub.GetCard, request)
        except NotFound:
            return None
        return bytes(answer.agent_card)

    async def record_events(self, events: Sequence[StoredEvent]) -> frozenset[str]:
        """Have events stored; returns the ids of those that never can be. Raises `Unavailable`."""
        request = events_pb2.RecordEventsRequest(
            events=[
                events_pb2.RecordedEvent(
                    id=event.id,
                    event_type=event.type.value,
                    workspace_id=event.workspace_id,
                    payload=strict_json.dump(event.payload),
                )
                for event in events
            ]
        )
        answer = await self._channel.call(self._events.RecordEvents, request)
        return frozenset(answer.refused_ids)

    async def watch(self, after: int) -> AsyncGenerator[WorkspaceUpdate, None]:
        """Stream the updates after a revision, or all of them for 0; raises `ServiceError` when the stream breaks."""
        request = registry_pb.WatchWorkspacesRequest(after_revision=after, include_heartbeats=True)
        async with aclosing(self._channel.watch(self._stub.WatchWorkspaces, request)) as feed:
            async for message in feed:
                for update in _parse_updates(message):
                    yield update


class ProvisionerClient:
    """The provisioner: checks instances."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = provisioner_rpc.ProvisionerServiceStub(channel.channel)

    async def check(self, workspace_id: WorkspaceId, generation: int) -> InstanceCondition:
        """Return the condition of an instance; `UNKNOWN` if the provisioner does not answer."""
        request = provisioner_pb.CheckInstanceRequest(workspace_id=workspace_id, generation=generation)
        try:
            answer = await self._channel.call(self._stub.CheckInstance, request, timeout=CHECK_TIMEOUT)
        except ServiceError:
            return InstanceCondition.UNKNOWN
        return _CONDITIONS.get(answer.condition, InstanceCondition.UNKNOWN)


class AuthClient:
    """Auth: tells inbound secrets and credentials for agents. The proxy calls nothing else of it."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = auth_pb2_grpc.AuthServiceStub(channel.channel)
        self._vault = vault_pb2_grpc.VaultServiceStub(channel.channel)

    async def read_agent_credentials(self, workspace_id: WorkspaceId) -> Mapping[str, str] | None:
        """Return the credentials for the agent of a workspace, by the names of the secrets; `None` if auth fails."""
        request = vault_pb2.ReadAgentCredentialsRequest(workspace_id=workspace_id)
        try:
            answer = await self._channel.call(self._vault.ReadAgentCredentials, request, timeout=SECRET_TIMEOUT)
        except ServiceError:
            return None
        return dict(answer.credentials)

    async def read_inbound_secret(self, workspace_id: WorkspaceId) -> InboundSecret | None:
        """Return the inbound secret of a workspace; `None` if auth does not answer or cannot open or create it."""
        request = auth_pb2.ReadOrHealInboundSecretRequest(workspace_id=workspace_id)
        try:
            answer = await self._channel.call(self._stub.ReadOrHealInboundSecret, request, timeout=SECRET_TIMEOUT)
        except ServiceError:
            return None
        return InboundSecret(answer.inbound_secret, is_healed=answer.healed)


def _build_notices(ages: Sequence[tuple[WorkspaceId, timedelta]]) -> list[lifecycle_pb2.WorkNotice]:
    return [
        lifecycle_pb2.WorkNotice(workspace_id=workspace_id, age=duration_from_timedelta(age))
        for workspace_id, age in ages
    ]


def _split(
    items: Sequence[tuple[WorkspaceId, timedelta]], most: int
) -> Iterator[tuple[Sequence[tuple[WorkspaceId, timedelta]], bool]]:
    """Yield parts of at most so many items, at least one part, and whether each is the last."""
    for start in range(0, max(len(items), 1), most):
        yield items[start : start + most], start + most >= len(items)


def _parse_updates(message: registry_pb.WatchWorkspacesResponse) -> Iterator[WorkspaceUpdate]:
    match message.WhichOneof("update"):
        case "changed":
            record = message.changed
            yield RouteChanged(
                message.revision,
                _parse_route(record),
                _parse_schedules(record.brief),
                initial_prompt=record.brief.initial_prompt,
                status_since=record.status_since.ToDatetime(UTC) if record.HasField("status_since") else None,
            )
        case "heartbeat":  # from a registry of an earlier release
            yield HeartbeatReceived(message.revision, WorkspaceId(message.heartbeat.workspace_id))
        case "heartbeats":
            for heartbeat in message.heartbeats.heartbeats:
                workspace_id = WorkspaceId(heartbeat.workspace_id)
                yield HeartbeatReceived(message.revision, workspace_id, heartbeat.active_tasks)
        case "snapshot_done":
            yield SnapshotDone(message.revision)
        case _:
            yield Keepalive(message.revision)


def _parse_route(record: registry_pb.WorkspaceRecord) -> Route:
    declarations = record.declarations
    return Route(
        workspace_id=WorkspaceId(record.id),
        status=_parse_status(record.status),
        revision=record.revision,
        status_reason=record.status_reason,
        parent_id=WorkspaceId(record.parent_id) if record.HasField("parent_id") else None,
        external=record.external,
        generation=record.generation,
        mode=DeliveryMode.POLL if record.delivery_mode == registry_pb.DELIVERY_MODE_POLL else DeliveryMode.PUSH,
        address=record.address,
        trusted=record.address_trusted,
        budget_limit=record.budget_limit if record.HasField("budget_limit") else None,
        monthly_spend=record.monthly_spend,
        has_native_session=declarations.capabilities.get("session", False),
        has_idempotent_delivery=declarations.capabilities.get("idempotent_delivery", False),
        max_concurrent_tasks=max(record.max_concurrent_tasks, 1),
        has_native_scheduler=declarations.capabilities.get("scheduler", False),
        name=record.name,
        org_id=WorkspaceId(record.org_id) if record.org_id else None,
        idle_timeout=(
            timedelta(seconds=declarations.idle_timeout_seconds)
            if declarations.HasField("idle_timeout_seconds")
            else None
        ),
        registered_at=record.registered_at.ToDatetime(UTC) if record.HasField("registered_at") else None,
        interfaces=tuple(
            AgentInterface(url=one.url, binding=one.binding, version=one.version, tenant=one.tenant)
            for one in record.interfaces
        ),
        security=tuple(
            tuple(SecurityScheme(one.kind, one.parameter, one.secret_key) for one in alternative.schemes)
            for alternative in record.agent_security.alternatives
        ),
        requires_security=record.agent_security.required,
        extension_headers=tuple(record.extension_headers),
        hibernates_when_idle=record.hibernates_when_idle,
        is_idle_checked=record.is_idle_checked,
    )


def _parse_schedules(brief: registry_pb.Brief) -> tuple[DeclaredSchedule, ...]:
    return tuple(
        DeclaredSchedule(
            name=one.name, cron_expr=one.cron_expr, prompt=one.prompt, timezone=one.timezone, enabled=one.enabled
        )
        for one in brief.schedules
    )


def _parse_status(number: int) -> Status:
    """Return the status. One of a later release counts as failed, so it takes no messages."""
    if number not in registry_pb.WorkspaceStatus.values():
        return Status.FAILED
    name = registry_pb.WorkspaceStatus.Name(registry_pb.WorkspaceStatus.ValueType(number))
    value = name.removeprefix("WORKSPACE_STATUS_").lower()
    return Status(value) if value in set(Status) else Status.FAILED


_CONDITIONS = {
    provisioner_pb.INSTANCE_CONDITION_ALIVE: InstanceCondition.ALIVE,
    provisioner_pb.INSTANCE_CONDITION_GONE: InstanceCondition.GONE,
}
