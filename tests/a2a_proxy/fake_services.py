"""A fake registry, a fake provisioner and a fake auth, as real gRPC servicers."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc

from protos.auth.v1 import auth_pb2, auth_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2, provisioner_pb2_grpc
from protos.registry.v1 import events_pb2, events_pb2_grpc, lifecycle_pb2, lifecycle_pb2_grpc
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.errors import NotFound, ServiceError, Unavailable
from services.chassis.service import Servicer


@dataclass
class FakeRegistry(rpc.RegistryServiceServicer):
    """Holds the workspaces that a test stores, and sends each change to its watchers at once."""

    records: dict[str, pb.WorkspaceRecord] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    resolved: list[tuple[str, str]] = field(default_factory=list)
    """Target and caller of every ResolveRoute."""
    watched_after: list[int] = field(default_factory=list)
    """The revision that each watch started after."""
    revision: int = 0
    is_unavailable: bool = False
    cards: dict[str, bytes] = field(default_factory=dict)
    """The cards of workspaces that have one."""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, ResolveRoute waits."""
    _watchers: list[asyncio.Queue] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def set_workspace(self, workspace_id: str, **fields) -> None:
        """Create or change a workspace, and send the change to the watchers."""
        self.revision += 1
        record = self.records.get(workspace_id) or pb.WorkspaceRecord(
            id=workspace_id,
            status=pb.WORKSPACE_STATUS_ONLINE,
            delivery_mode=pb.DELIVERY_MODE_PUSH,
            address_trusted=True,
            generation=1,
        )
        declarations = fields.pop("declarations", None)
        registered_at = fields.pop("registered_at", None)
        status_since = fields.pop("status_since", None)
        brief = fields.pop("brief", None)
        interfaces = fields.pop("interfaces", None)
        security = fields.pop("agent_security", None)
        extension_headers = fields.pop("extension_headers", None)
        for name, value in fields.items():
            setattr(record, name, value)
        if declarations is not None:
            record.declarations.CopyFrom(declarations)
        if registered_at is not None:
            record.registered_at.FromDatetime(registered_at)
        if status_since is not None:
            record.status_since.FromDatetime(status_since)
        if brief is not None:
            record.brief.CopyFrom(brief)
        if security is not None:
            record.agent_security.CopyFrom(security)
        if extension_headers is not None:
            record.extension_headers[:] = extension_headers
        if interfaces is not None:
            del record.interfaces[:]
            record.interfaces.extend(interfaces)
        record.revision = self.revision
        self.records[workspace_id] = record
        self._send(pb.WatchWorkspacesResponse(revision=self.revision, changed=record))

    def announce(self, record: pb.WorkspaceRecord) -> None:
        """Send a change of a workspace to the watchers without storing it."""
        self._send(pb.WatchWorkspacesResponse(revision=self.revision, changed=record))

    def send_heartbeat(self, workspace_id: str, **fields) -> None:
        heartbeats = pb.HeartbeatNotices(heartbeats=[pb.HeartbeatNotice(workspace_id=workspace_id, **fields)])
        self._send(pb.WatchWorkspacesResponse(revision=self.revision, heartbeats=heartbeats))

    def break_feeds(self) -> None:
        """End every open watch."""
        self._send(None)

    @property
    def has_watchers(self) -> bool:
        return bool(self._watchers)

    def _send(self, message: pb.WatchWorkspacesResponse | None) -> None:
        for queue in self._watchers:
            queue.put_nowait(message)

    async def ResolveRoute(self, request, context: grpc.aio.ServicerContext) -> pb.ResolveRouteResponse:
        if self.is_unavailable:
            raise Unavailable
        self.resolved.append((request.workspace_id, request.caller_id))
        record = self.records.get(request.workspace_id)
        if record is None:
            raise NotFound("workspace not found")
        await self.may_answer.wait()
        allowed = (request.caller_id, request.workspace_id) not in self.denied
        return pb.ResolveRouteResponse(record=record, allowed=allowed)

    async def GetCard(self, request, context: grpc.aio.ServicerContext) -> pb.GetCardResponse:
        if self.is_unavailable:
            raise Unavailable
        if request.workspace_id not in self.cards:
            raise NotFound("agent card not available")
        return pb.GetCardResponse(agent_card=self.cards[request.workspace_id])

    async def WatchWorkspaces(self, request, context) -> AsyncIterator[pb.WatchWorkspacesResponse]:
        if self.is_unavailable:
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
class FakeLifecycle(lifecycle_pb2_grpc.LifecycleServiceServicer):
    """The registry's LifecycleService; records the workspaces that it is asked to wake, and reports of work."""

    woken: list[str] = field(default_factory=list)
    refusal: ServiceError | None = None
    """Raised instead of waking."""
    reports: list[lifecycle_pb2.ReportWorkRequest] = field(default_factory=list)
    report_refusal: ServiceError | None = None
    """Raised instead of taking a report."""
    refused_reports: int = 0

    async def WakeWorkspace(self, request, context) -> lifecycle_pb2.WakeWorkspaceResponse:
        self.woken.append(request.workspace_id)
        if self.refusal is not None:
            raise self.refusal
        return lifecycle_pb2.WakeWorkspaceResponse()

    async def ReportWork(self, request, context) -> lifecycle_pb2.ReportWorkResponse:
        if self.report_refusal is not None:
            self.refused_reports += 1
            raise self.report_refusal
        self.reports.append(request)
        return lifecycle_pb2.ReportWorkResponse()

    def servicer(self) -> Servicer:
        contract = lifecycle_pb2.DESCRIPTOR.services_by_name["LifecycleService"]
        return Servicer(contract=contract, add=lifecycle_pb2_grpc.add_LifecycleServiceServicer_to_server, servicer=self)


@dataclass
class FakeEvents(events_pb2_grpc.EventServiceServicer):
    """The registry's EventService; stores each event once by its id, as the registry does."""

    stored: dict[str, events_pb2.RecordedEvent] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    """The ids of each call, whatever was answered."""
    refused: set[str] = field(default_factory=set)
    """Workspaces whose events are refused."""
    loses_answers: bool = False
    """Whether events are stored and the call fails nevertheless."""

    @property
    def all(self) -> list[tuple[str, str, dict]]:
        """Type, workspace and payload of every event, the oldest first."""
        return [(one.event_type, one.workspace_id, json.loads(one.payload)) for one in self.stored.values()]

    async def RecordEvents(self, request, context) -> events_pb2.RecordEventsResponse:
        self.calls.append([event.id for event in request.events])
        refused = [event.id for event in request.events if event.workspace_id in self.refused]
        self.stored |= {event.id: event for event in request.events if event.id not in refused}
        if self.loses_answers:
            raise Unavailable
        return events_pb2.RecordEventsResponse(refused_ids=refused)

    def servicer(self) -> Servicer:
        contract = events_pb2.DESCRIPTOR.services_by_name["EventService"]
        return Servicer(contract=contract, add=events_pb2_grpc.add_EventServiceServicer_to_server, servicer=self)


@dataclass
class FakeProvisioner(provisioner_pb2_grpc.ProvisionerServiceServicer):
    """Reports the same condition for every instance, and records which instances it checked."""

    condition: int = provisioner_pb2.INSTANCE_CONDITION_ALIVE
    checked: list[tuple[str, int]] = field(default_factory=list)

    async def CheckInstance(self, request, context) -> provisioner_pb2.CheckInstanceResponse:
        self.checked.append((request.workspace_id, request.generation))
        return provisioner_pb2.CheckInstanceResponse(condition=self.condition)

    def servicer(self) -> Servicer:
        return Servicer(
            contract=provisioner_pb2.DESCRIPTOR.services_by_name["ProvisionerService"],
            add=provisioner_pb2_grpc.add_ProvisionerServiceServicer_to_server,
            servicer=self,
        )


@dataclass
class FakeAuth(auth_pb2_grpc.AuthServiceServicer):
    """Tells the inbound secret that a test sets, the same for every workspace, and records the questions."""

    secret: str = "the-inbound-secret"
    is_unavailable: bool = False
    is_healed: bool = False
    """Each answer says that the secret was missing."""
    asked: list[str] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, questions wait."""

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def ReadOrHealInboundSecret(self, request, context) -> auth_pb2.ReadOrHealInboundSecretResponse:
        self.asked.append(request.workspace_id)
        await self.may_answer.wait()
        if self.is_unavailable:
            raise Unavailable
        return auth_pb2.ReadOrHealInboundSecretResponse(inbound_secret=self.secret, healed=self.is_healed)

    def servicer(self) -> Servicer:
        return Servicer(
            contract=auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
            add=auth_pb2_grpc.add_AuthServiceServicer_to_server,
            servicer=self,
        )


@dataclass
class FakeVault(vault_pb2_grpc.VaultServiceServicer):
    """Tells the credentials that a test sets, the same for every workspace, and records the questions."""

    credentials: dict[str, str] = field(default_factory=dict)
    is_unavailable: bool = False
    asked: list[str] = field(default_factory=list)

    async def ReadAgentCredentials(self, request, context) -> vault_pb2.ReadAgentCredentialsResponse:
        self.asked.append(request.workspace_id)
        if self.is_unavailable:
            raise Unavailable
        return vault_pb2.ReadAgentCredentialsResponse(credentials=self.credentials)

    def servicer(self) -> Servicer:
        return Servicer(
            contract=vault_pb2.DESCRIPTOR.services_by_name["VaultService"],
            add=vault_pb2_grpc.add_VaultServiceServicer_to_server,
            servicer=self,
        )
