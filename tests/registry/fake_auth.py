"""Fake servicers of auth for tests over real gRPC; each faulty one is named after its fault."""

import asyncio
from uuid import uuid4

from protos.auth.v1 import audit_pb2, audit_pb2_grpc
from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.chassis.errors import Unauthenticated, Unavailable
from services.chassis.service import Servicer


class AuditWithLostReply(audit_pb2_grpc.AuditServiceServicer):
    """Stores records by id, but fails to answer the first call."""

    def __init__(self) -> None:
        self.records: dict[str, audit_pb2.AuditRecord] = {}
        self.calls = 0

    async def AppendAuditRecords(self, request, context):
        self.calls += 1
        self.records.update({record.id: record for record in request.records})
        if self.calls == 1:
            raise Unavailable
        return audit_pb2.AppendAuditRecordsResponse()


class FakeAuth(rpc.AuthServiceServicer):
    """Answers every call, and records what it was asked."""

    def __init__(self) -> None:
        self.placed: dict[str, str] = {}
        self.confirmed: dict[str, str] = {}
        self.barred: set[str] = set()
        self.forgotten: list[str] = []
        self.live: dict[str, set[str]] = {}
        self.secrets: dict[str, str] = {}

    async def PlaceWorkspaces(self, request, context):
        self.placed.update({placement.workspace_id: placement.org_id for placement in request.placements})
        return pb.PlaceWorkspacesResponse()

    async def ConfirmWorkspaces(self, request, context):
        self.confirmed.update({placement.workspace_id: placement.org_id for placement in request.placements})
        return pb.ConfirmWorkspacesResponse()

    async def BarWorkspace(self, request, context):
        self.barred.add(request.workspace_id)
        return pb.BarWorkspaceResponse(revoked=len(self.live.pop(request.workspace_id, ())))

    async def ForgetWorkspace(self, request, context):
        self.forgotten.append(request.workspace_id)
        return pb.ForgetWorkspaceResponse()

    async def IssueToken(self, request, context):
        return pb.IssueTokenResponse(auth_token="token", token_id=self._mint(request.workspace_id))

    async def RevokeTokens(self, request, context):
        self.live.get(request.workspace_id, set()).discard(request.token_id)
        return pb.RevokeTokensResponse(revoked=1)

    async def EnsureCredentials(self, request, context):
        live = self.live.get(request.workspace_id)
        if request.anonymous and live:
            raise Unauthenticated("missing workspace auth token")
        secret = self.secrets.setdefault(request.workspace_id, uuid4().hex)
        if live:
            return pb.EnsureCredentialsResponse(inbound_secret=secret)
        token_id = self._mint(request.workspace_id)
        return pb.EnsureCredentialsResponse(auth_token="token", token_id=token_id, inbound_secret=secret)

    def _mint(self, workspace_id):
        token_id = uuid4().hex
        self.live.setdefault(workspace_id, set()).add(token_id)
        return token_id


class AuthWithoutCredentials(FakeAuth):
    """Cannot provide credentials."""

    async def EnsureCredentials(self, request, context):
        raise Unavailable


class BlockingAuth(FakeAuth):
    """Answers EnsureCredentials only after `answer` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def EnsureCredentials(self, request, context):
        self.asked.set()
        await self.answer.wait()
        return await super().EnsureCredentials(request, context)


class AuthWithoutBarring(FakeAuth):
    """Cannot bar workspaces."""

    async def BarWorkspace(self, request, context):
        raise Unavailable


class AuthWithoutPlacing(FakeAuth):
    """Cannot place workspaces."""

    async def PlaceWorkspaces(self, request, context):
        raise Unavailable


def serve_auth(auth: FakeAuth) -> Servicer:
    return Servicer(
        contract=pb.DESCRIPTOR.services_by_name["AuthService"],
        add=rpc.add_AuthServiceServicer_to_server,
        servicer=auth,
    )


def serve_audit(audit: AuditWithLostReply) -> Servicer:
    return Servicer(
        contract=audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
        add=audit_pb2_grpc.add_AuditServiceServicer_to_server,
        servicer=audit,
    )
