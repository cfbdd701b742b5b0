"""Fake services behind the gateway: real gRPC servers with scripted answers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from protos.a2a_proxy.v1 import activity_pb2, queue_pb2
from protos.auth.v1 import audit_pb2, tokens_pb2, vault_pb2
from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from protos.provisioner.v1 import logs_pb2
from protos.registry.v1 import (
    budgets_pb2,
    bundles_pb2,
    lifecycle_pb2,
    memories_pb2,
    models_pb2,
    registry_pb2,
    search_pb2,
    templates_pb2,
)
from services.chassis import identity
from services.chassis.errors import ServiceError, Unauthenticated
from services.chassis.identity import Identity, Kind
from services.chassis.service import Servicer


class MissingBearer(Unauthenticated):
    domain = "molecule.auth.v1"
    reason = "MISSING_BEARER"
    message = "admin auth required"


class InvalidBearer(Unauthenticated):
    domain = "molecule.auth.v1"
    reason = "INVALID_BEARER"
    message = "invalid admin auth token"


@dataclass
class FakeAuth(rpc.AuthServiceServicer):
    """Knows some bearers and sessions, refuses the others, and sends revocations on request of a test."""

    known: dict[str | None, Identity] = field(default_factory=dict)
    sessions: dict[str, Identity] = field(default_factory=dict)
    expires_at: Timestamp | None = None
    refusal: ServiceError | None = None
    received: list[pb.AuthorizeRequest] = field(default_factory=list)
    watchers: list[asyncio.Queue[pb.WatchRevocationsResponse | None]] = field(default_factory=list)
    watched_after: list[int] = field(default_factory=list)
    hold: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def Authorize(self, request, context):
        self.received.append(request)
        self.arrived.set()
        bearer = request.bearer if request.HasField("bearer") else None
        found = self.known.get(bearer)
        if bearer is None and request.HasField("session"):
            bearer, found = request.session, self.sessions.get(request.session)
        if self.hold is not None:
            await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        if found is None:
            raise MissingBearer if bearer is None else InvalidBearer
        return pb.AuthorizeResponse(identity=identity.to_wire(found), expires_at=self.expires_at)

    async def WatchRevocations(self, request, context) -> AsyncIterator[pb.WatchRevocationsResponse]:
        self.watched_after.append(request.after_revision)
        queue: asyncio.Queue[pb.WatchRevocationsResponse | None] = asyncio.Queue()
        self.watchers.append(queue)
        yield pb.WatchRevocationsResponse(revision=max(request.after_revision, 1), keepalive=Duration(seconds=2))
        while (update := await queue.get()) is not None:
            yield update

    def send_update(self, update: pb.WatchRevocationsResponse | None) -> None:
        """Send an update on every feed; `None` breaks the feeds."""
        for queue in self.watchers:
            queue.put_nowait(update)
        if update is None:
            self.watchers.clear()

    def servicer(self) -> Servicer:
        return Servicer(
            contract=pb.DESCRIPTOR.services_by_name["AuthService"],
            add=rpc.add_AuthServiceServicer_to_server,
            servicer=self,
        )


class AuthWithBrokenFeed(FakeAuth):
    """Breaks its first feed with a bug."""

    async def WatchRevocations(self, request, context):
        if not self.watched_after:
            self.watched_after.append(request.after_revision)
            message = "a bug"
            raise RuntimeError(message)
        async for update in super().WatchRevocations(request, context):
            yield update


class AuthWithSilentFeed(FakeAuth):
    """Answers queries and sends nothing on its feed."""

    async def WatchRevocations(self, request, context):
        await asyncio.Event().wait()
        yield pb.WatchRevocationsResponse()


@dataclass(frozen=True)
class ReceivedCall:
    """A call that a scripted service received."""

    method: str
    request: Any
    caller: Identity


class ScriptedService:
    """A service that answers each RPC with the reply of the test and records the calls."""

    def __init__(self, contract: ServiceDescriptor) -> None:
        self._contract = contract
        self.replies: dict[str, Any] = {}
        self.received: list[ReceivedCall] = []

    def servicer(self) -> Servicer:
        return Servicer(contract=self._contract, add=self._add, servicer=self)

    def _add(self, _: object, server: grpc.aio.Server) -> None:
        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(
                self._answering(method),
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for method in self._contract.methods
            if not method.server_streaming
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self._contract.full_name, handlers),))

    def _answering(self, method: MethodDescriptor) -> Any:
        async def answer(request: Message, _: object) -> Message:
            self.received.append(ReceivedCall(method.name, request, identity.current()))
            reply = self.replies.get(method.name, GetMessageClass(method.output_type)())
            if isinstance(reply, list):
                reply = reply.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply

        return answer


def registry() -> ScriptedService:
    return ScriptedService(registry_pb2.DESCRIPTOR.services_by_name["RegistryService"])


def queue() -> ScriptedService:
    return ScriptedService(queue_pb2.DESCRIPTOR.services_by_name["QueueService"])


def bundles() -> ScriptedService:
    return ScriptedService(bundles_pb2.DESCRIPTOR.services_by_name["BundleService"])


def templates() -> ScriptedService:
    return ScriptedService(templates_pb2.DESCRIPTOR.services_by_name["TemplateService"])


def tokens() -> ScriptedService:
    return ScriptedService(tokens_pb2.DESCRIPTOR.services_by_name["TokenService"])


def search() -> ScriptedService:
    return ScriptedService(search_pb2.DESCRIPTOR.services_by_name["SearchService"])


def lifecycle() -> ScriptedService:
    return ScriptedService(lifecycle_pb2.DESCRIPTOR.services_by_name["LifecycleService"])


def audit() -> ScriptedService:
    return ScriptedService(audit_pb2.DESCRIPTOR.services_by_name["AuditService"])


def vault() -> ScriptedService:
    return ScriptedService(vault_pb2.DESCRIPTOR.services_by_name["VaultService"])


def models() -> ScriptedService:
    return ScriptedService(models_pb2.DESCRIPTOR.services_by_name["ModelService"])


def logs() -> ScriptedService:
    return ScriptedService(logs_pb2.DESCRIPTOR.services_by_name["LogService"])


def budgets() -> ScriptedService:
    return ScriptedService(budgets_pb2.DESCRIPTOR.services_by_name["BudgetService"])


def activities() -> ScriptedService:
    return ScriptedService(activity_pb2.DESCRIPTOR.services_by_name["ActivityService"])


def memories() -> ScriptedService:
    return ScriptedService(memories_pb2.DESCRIPTOR.services_by_name["MemoryService"])


ADMIN = Identity(kind=Kind.ADMIN)
ANONYMOUS = Identity(kind=Kind.ANONYMOUS)


def workspace(workspace_id: str, generation: int | None = None) -> Identity:
    return Identity(kind=Kind.WORKSPACE, name=workspace_id, generation=generation)


def org(org_id: str, *scopes: str, token_id: str = "org-token") -> Identity:
    return Identity(kind=Kind.ORG, name=token_id, org_id=org_id, scopes=frozenset(scopes))
