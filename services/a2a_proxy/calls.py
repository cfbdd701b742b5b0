"""The other services as the post sees them."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import timedelta

from protos.provisioner.v1 import provisioner_pb2 as provisioner_pb
from protos.provisioner.v1 import provisioner_pb2_grpc as provisioner_rpc
from protos.registry.v1 import lifecycle_pb2, lifecycle_pb2_grpc
from protos.registry.v1 import registry_pb2 as registry_pb
from protos.registry.v1 import registry_pb2_grpc as registry_rpc
from services.a2a_proxy.model import (
    Alive,
    CaughtUp,
    Changed,
    Condition,
    DeliveryMode,
    News,
    Pulse,
    Resolved,
    Route,
    Status,
    WorkspaceId,
)
from services.chassis.clients import ServiceChannel
from services.chassis.errors import NotFound, ServiceError

CHECK_WITHIN = timedelta(seconds=3)
"""How long a caller whose message failed waits to learn whether the instance is alive."""


class Registry:
    """Knows the targets."""

    def __init__(self, line: ServiceChannel) -> None:
        self._line = line
        self._stub = registry_rpc.RegistryServiceStub(line.channel)
        self._lifecycle = lifecycle_pb2_grpc.LifecycleServiceStub(line.channel)

    async def wake(self, target: WorkspaceId) -> None:
        """Ask for a target that sleeps: a message is there for it. Asking often wakes once. Raises `Unavailable`."""
        await self._line.call(self._lifecycle.WakeWorkspace, lifecycle_pb2.WakeWorkspaceRequest(workspace_id=target))

    async def resolve(self, target: WorkspaceId, caller: WorkspaceId | None) -> Resolved:
        """The route to a target, `None` for an unknown one, and whether `caller` may write to it.

        Raises `Unavailable`.
        """
        request = registry_pb.ResolveRouteRequest(workspace_id=target, caller_id=caller or "")
        try:
            answer = await self._line.call(self._stub.ResolveRoute, request)
        except NotFound:
            return Resolved(route=None, allowed=caller is None)
        return Resolved(route=_route(answer.record), allowed=answer.allowed)

    async def watch(self, after: int) -> AsyncGenerator[News, None]:
        """What happens to workspaces, after a revision or from the beginning; raises `ServiceError` when it breaks."""
        request = registry_pb.WatchWorkspacesRequest(after_revision=after, include_heartbeats=True)
        async with aclosing(self._line.watch(self._stub.WatchWorkspaces, request)) as feed:
            async for message in feed:
                for news in _news(message):
                    yield news


class Provisioner:
    """Knows the instances."""

    def __init__(self, line: ServiceChannel) -> None:
        self._line = line
        self._stub = provisioner_rpc.ProvisionerServiceStub(line.channel)

    async def check(self, workspace_id: WorkspaceId, generation: int) -> Condition:
        """How the instance is; who cannot be asked is no evidence of death."""
        request = provisioner_pb.CheckInstanceRequest(workspace_id=workspace_id, generation=generation)
        try:
            answer = await self._line.call(self._stub.CheckInstance, request, timeout=CHECK_WITHIN)
        except ServiceError:
            return Condition.UNKNOWN
        return _CONDITIONS.get(answer.condition, Condition.UNKNOWN)


def _news(message: registry_pb.WatchWorkspacesResponse) -> Iterator[News]:
    match message.WhichOneof("update"):
        case "changed":
            yield Changed(message.revision, _route(message.changed))
        case "heartbeat":  # a registry of an earlier release tells one at a time
            yield Pulse(message.revision, WorkspaceId(message.heartbeat.workspace_id))
        case "heartbeats":
            for pulse in message.heartbeats.heartbeats:
                yield Pulse(message.revision, WorkspaceId(pulse.workspace_id))
        case "snapshot_done":
            yield CaughtUp(message.revision)
        case _:
            yield Alive(message.revision)


def _route(record: registry_pb.WorkspaceRecord) -> Route:
    declared = record.declarations
    return Route(
        workspace_id=WorkspaceId(record.id),
        status=_status(record.status),
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
        own_session=declared.capabilities.get("session", False),
        idle_timeout=(
            timedelta(seconds=declared.idle_timeout_seconds) if declared.HasField("idle_timeout_seconds") else None
        ),
    )


def _status(number: int) -> Status:
    """The status; one that this release does not know takes no messages."""
    if number not in registry_pb.WorkspaceStatus.values():
        return Status.FAILED
    name = registry_pb.WorkspaceStatus.Name(registry_pb.WorkspaceStatus.ValueType(number))
    word = name.removeprefix("WORKSPACE_STATUS_").lower()
    return Status(word) if word in set(Status) else Status.FAILED


_CONDITIONS = {
    provisioner_pb.INSTANCE_CONDITION_ALIVE: Condition.ALIVE,
    provisioner_pb.INSTANCE_CONDITION_GONE: Condition.GONE,
}
