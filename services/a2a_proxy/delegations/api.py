"""The servicer of delegations: translates between protobuf and the service."""

from protos.a2a_proxy.v1 import delegations_pb2 as pb
from protos.a2a_proxy.v1 import delegations_pb2_grpc as rpc
from services.a2a_proxy.delegations import wire
from services.a2a_proxy.delegations.service import Delegations
from services.a2a_proxy.model import WorkspaceId
from services.chassis.rpc import Context


class DelegationServicer(rpc.DelegationServiceServicer):
    """One method for each RPC on delegations."""

    def __init__(self, delegations: Delegations) -> None:
        self._delegations = delegations

    async def Delegate(self, request: pb.DelegateRequest, context: Context) -> pb.DelegateResponse:
        """Store a delegation."""
        result = await self._delegations.delegate(wire.request_from_proto(request))
        return pb.DelegateResponse(delegation=wire.delegation_to_proto(result.delegation), idempotent_hit=result.is_hit)

    async def GetDelegation(self, request: pb.GetDelegationRequest, context: Context) -> pb.GetDelegationResponse:
        """Return a delegation."""
        found = await self._delegations.get(WorkspaceId(request.workspace_id), request.delegation_id)
        return pb.GetDelegationResponse(delegation=wire.delegation_to_proto(found))

    async def ListDelegations(self, request: pb.ListDelegationsRequest, context: Context) -> pb.ListDelegationsResponse:
        """Return the newest requests and results of a workspace."""
        rows = await self._delegations.list_rows(WorkspaceId(request.workspace_id))
        return pb.ListDelegationsResponse(rows=[wire.row_to_proto(row) for row in rows])

    async def RecordDelegation(
        self, request: pb.RecordDelegationRequest, context: Context
    ) -> pb.RecordDelegationResponse:
        """Store a delegation that an agent carries out itself."""
        recorded = await self._delegations.record(
            WorkspaceId(request.workspace_id), wire.parse_target(request.target_id), request.delegation_id, request.task
        )
        return pb.RecordDelegationResponse(delegation=wire.delegation_to_proto(recorded))

    async def ReportDelegation(
        self, request: pb.ReportDelegationRequest, context: Context
    ) -> pb.ReportDelegationResponse:
        """Store the result that an agent reports."""
        reported = await self._delegations.report(
            WorkspaceId(request.workspace_id),
            request.delegation_id,
            request.status,
            text=request.text,
            error=request.error,
        )
        return pb.ReportDelegationResponse(delegation=wire.delegation_to_proto(reported))

    async def CancelDelegation(
        self, request: pb.CancelDelegationRequest, context: Context
    ) -> pb.CancelDelegationResponse:
        """Cancel a delegation and everything below it."""
        result = await self._delegations.cancel(WorkspaceId(request.workspace_id), request.delegation_id)
        return wire.cancelled_to_proto(result)
