"""The services next door, as real servicers: a book that tells, and hands that look."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc

from protos.provisioner.v1 import provisioner_pb2, provisioner_pb2_grpc
from protos.registry.v1 import lifecycle_pb2, lifecycle_pb2_grpc
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.errors import NotFound, Unavailable
from services.chassis.service import Servicer


@dataclass
class Book(rpc.RegistryServiceServicer):
    """A registry that holds what a test writes into it, and tells its watchers at once."""

    records: dict[str, pb.WorkspaceRecord] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    watched_after: list[int] = field(default_factory=list)
    revision: int = 0
    away: bool = False
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    _watchers: list[asyncio.Queue] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answering.set()

    def write(self, workspace_id: str, **fields) -> None:
        """Change a workspace, and tell."""
        self.revision += 1
        record = self.records.get(workspace_id) or pb.WorkspaceRecord(
            id=workspace_id,
            status=pb.WORKSPACE_STATUS_ONLINE,
            delivery_mode=pb.DELIVERY_MODE_PUSH,
            address_trusted=True,
            generation=1,
        )
        declarations = fields.pop("declarations", None)
        for name, value in fields.items():
            setattr(record, name, value)
        if declarations is not None:
            record.declarations.CopyFrom(declarations)
        record.revision = self.revision
        self.records[workspace_id] = record
        self.tell(pb.WatchWorkspacesResponse(revision=self.revision, changed=record))

    def pulse(self, workspace_id: str) -> None:
        pulse = pb.HeartbeatNotice(workspace_id=workspace_id)
        self.tell(
            pb.WatchWorkspacesResponse(revision=self.revision, heartbeats=pb.HeartbeatNotices(heartbeats=[pulse]))
        )

    def live(self) -> None:
        """Give a sign of life."""
        message = pb.WatchWorkspacesResponse(revision=self.revision)
        message.keepalive.SetInParent()
        self.tell(message)

    def tell(self, message: pb.WatchWorkspacesResponse | None) -> None:
        """Tell all watchers; `None` breaks their watches."""
        for queue in self._watchers:
            queue.put_nowait(message)

    async def ResolveRoute(self, request, context: grpc.aio.ServicerContext) -> pb.ResolveRouteResponse:
        if self.away:
            raise Unavailable
        self.asked.append((request.workspace_id, request.caller_id))
        record = self.records.get(request.workspace_id)
        if record is None:
            raise NotFound("workspace not found")
        await self.answering.wait()
        allowed = (request.caller_id, request.workspace_id) not in self.denied
        return pb.ResolveRouteResponse(record=record, allowed=allowed)

    async def WatchWorkspaces(self, request, context) -> AsyncIterator[pb.WatchWorkspacesResponse]:
        if self.away:
            raise Unavailable
        self.watched_after.append(request.after_revision)
        queue: asyncio.Queue = asyncio.Queue()
        for record in list(self.records.values()):
            if record.revision > request.after_revision:
                yield pb.WatchWorkspacesResponse(revision=record.revision, changed=record)
        done = pb.WatchWorkspacesResponse(revision=self.revision)
        done.snapshot_done.SetInParent()
        self._watchers.append(queue)
        try:
            yield done
            while (message := await queue.get()) is not None:
                yield message
        finally:
            self._watchers.remove(queue)

    def servicer(self) -> Servicer:
        contract = pb.DESCRIPTOR.services_by_name["RegistryService"]
        return Servicer(contract=contract, add=rpc.add_RegistryServiceServicer_to_server, servicer=self)


@dataclass
class Alarm(lifecycle_pb2_grpc.LifecycleServiceServicer):
    """A registry that wakes whom it is asked to."""

    woken: list[str] = field(default_factory=list)

    async def WakeWorkspace(self, request, context) -> lifecycle_pb2.WakeWorkspaceResponse:
        self.woken.append(request.workspace_id)
        return lifecycle_pb2.WakeWorkspaceResponse()

    def servicer(self) -> Servicer:
        contract = lifecycle_pb2.DESCRIPTOR.services_by_name["LifecycleService"]
        return Servicer(contract=contract, add=lifecycle_pb2_grpc.add_LifecycleServiceServicer_to_server, servicer=self)


@dataclass
class Hands(provisioner_pb2_grpc.ProvisionerServiceServicer):
    """A provisioner that finds every instance as a test says."""

    condition: int = provisioner_pb2.INSTANCE_CONDITION_ALIVE
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def CheckInstance(self, request, context) -> provisioner_pb2.CheckInstanceResponse:
        self.asked.append((request.workspace_id, request.generation))
        return provisioner_pb2.CheckInstanceResponse(condition=self.condition)

    def servicer(self) -> Servicer:
        return Servicer(
            contract=provisioner_pb2.DESCRIPTOR.services_by_name["ProvisionerService"],
            add=provisioner_pb2_grpc.add_ProvisionerServiceServicer_to_server,
            servicer=self,
        )
