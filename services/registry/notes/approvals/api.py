"""The servicer of approvals: speaks protobuf and decides nothing."""

from protos.registry.v1 import approvals_pb2 as pb
from protos.registry.v1 import approvals_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.clock import Clock
from services.chassis.rpc import Context
from services.registry import access
from services.registry.notes.approvals import wire
from services.registry.notes.approvals.rules import Listed
from services.registry.notes.approvals.service import Approvals
from services.registry.workspace.model import WorkspaceId

MOST = 50
"""Requests in one answer."""


class ApprovalServicer(rpc.ApprovalServiceServicer):
    """Unwraps, asks, wraps."""

    def __init__(self, approvals: Approvals, *, clock: Clock) -> None:
        self._approvals = approvals
        self._clock = clock

    async def RequestApproval(self, request: pb.RequestApprovalRequest, context: Context) -> pb.RequestApprovalResponse:
        caller = identity.current()
        wanted = wire.approval_from(request, access.derive_id(caller, request.request_id), self._clock.now())
        approval = await self._approvals.ask(caller, wanted)
        return pb.RequestApprovalResponse(approval=wire.approval_to(Listed(approval)))

    async def ListApprovals(self, request: pb.ListApprovalsRequest, context: Context) -> pb.ListApprovalsResponse:
        found = await self._approvals.list(
            identity.current(),
            WorkspaceId(request.workspace_id),
            size=pages.page_size(request.page_size, default=MOST, most=MOST),
        )
        return pb.ListApprovalsResponse(approvals=[wire.approval_to(listed) for listed in found])

    async def ListPendingApprovals(
        self, request: pb.ListPendingApprovalsRequest, context: Context
    ) -> pb.ListPendingApprovalsResponse:
        found = await self._approvals.pending(
            identity.current(), size=pages.page_size(request.page_size, default=MOST, most=MOST)
        )
        return pb.ListPendingApprovalsResponse(approvals=[wire.approval_to(listed) for listed in found])

    async def DecideApproval(self, request: pb.DecideApprovalRequest, context: Context) -> pb.DecideApprovalResponse:
        approval = await self._approvals.decide(
            identity.current(),
            WorkspaceId(request.workspace_id),
            request.approval_id,
            decision=request.decision,
            by=request.decided_by,
        )
        return pb.DecideApprovalResponse(approval=wire.approval_to(Listed(approval)))
