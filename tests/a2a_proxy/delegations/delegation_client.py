"""Calls the delegations of a running proxy as the gateway does, each call in the name of the workspace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from protos.a2a_proxy.v1 import delegations_pb2 as pb
from protos.a2a_proxy.v1 import delegations_pb2_grpc as rpc
from protos.a2a_proxy.v1 import inbox_pb2, inbox_pb2_grpc
from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.running_proxy import RunningProxy

CALL_TIMEOUT = timedelta(seconds=30)
"""Time for a call; a race of many takes longer than one call of the gateway may."""


class DelegationClient:
    """One method for each RPC."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = rpc.DelegationServiceStub(channel.channel)
        self._inbox = inbox_pb2_grpc.InboxServiceStub(channel.channel)

    async def request(self, source: str, target: str, **fields) -> pb.DelegateResponse:
        values = {"request_id": str(uuid4()), "task": "the task"} | fields
        request = pb.DelegateRequest(workspace_id=source, target_id=target, **values)
        return await self._call(self._stub.Delegate, request)

    async def delegate(self, source: str, target: str, **fields) -> pb.Delegation:
        return (await self.request(source, target, **fields)).delegation

    async def get(self, workspace_id: str, delegation_id: str) -> pb.Delegation:
        request = pb.GetDelegationRequest(workspace_id=workspace_id, delegation_id=delegation_id)
        return (await self._call(self._stub.GetDelegation, request)).delegation

    async def has_status(self, delegation: pb.Delegation, status: str) -> pb.Delegation | None:
        """Return the delegation if it has the status; a question for `eventually`."""
        found = await self.get(delegation.source_id, delegation.delegation_id)
        return found if found.status == status else None

    async def list_rows(self, source: str) -> list[pb.DelegationRow]:
        request = pb.ListDelegationsRequest(workspace_id=source)
        return list((await self._call(self._stub.ListDelegations, request)).rows)

    async def record(self, source: str, target: str, delegation_id: str, task: str = "own work") -> pb.Delegation:
        request = pb.RecordDelegationRequest(
            workspace_id=source, target_id=target, delegation_id=delegation_id, task=task
        )
        return (await self._call(self._stub.RecordDelegation, request)).delegation

    async def report(self, source: str, delegation_id: str, status: str, **fields) -> pb.Delegation:
        request = pb.ReportDelegationRequest(workspace_id=source, delegation_id=delegation_id, status=status, **fields)
        return (await self._call(self._stub.ReportDelegation, request)).delegation

    async def cancel(self, source: str, delegation_id: str) -> pb.CancelDelegationResponse:
        request = pb.CancelDelegationRequest(workspace_id=source, delegation_id=delegation_id)
        return await self._call(self._stub.CancelDelegation, request)

    async def lease(self, workspace_id: str) -> list[inbox_pb2.InboxMessage]:
        """Lease what waits in the inbox of a workspace."""
        request = inbox_pb2.LeaseMessagesRequest(workspace_id=workspace_id, max_messages=10)
        return list((await self._call(self._inbox.LeaseMessages, request)).messages)

    async def acknowledge(self, workspace_id: str, message: inbox_pb2.InboxMessage, result: bytes) -> None:
        request = inbox_pb2.AcknowledgeMessageRequest(
            workspace_id=workspace_id, message_id=message.id, receipt=message.receipt, result=result
        )
        await self._call(self._inbox.AcknowledgeMessage, request)

    async def _call(self, method, request):
        caller = Identity(kind=Kind.WORKSPACE, name=request.workspace_id, generation=1)
        return await self._channel.call(method, request, on_behalf_of=caller, timeout=CALL_TIMEOUT)


@asynccontextmanager
async def open_client(proxy: RunningProxy) -> AsyncIterator[DelegationClient]:
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel:
        yield DelegationClient(channel)
