"""The servicer of approvals: translates between protobuf and the service."""

from protos.registry.v1 import approvals_pb2 as pb
from protos.registry.v1 import approvals_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.clock import Clock
from services.chassis.rpc import Context
from services.registry import access
from services.registry.notes.approvals import wire
from services.registry.notes.approvals.rules import ListedApproval
from services.registry.notes.approvals.service import Approvals
from services.registry.workspace.model import WorkspaceId

MAX_APPROVALS_PER_PAGE = 50


class ApprovalServicer(rpc.ApprovalServiceServicer):
    """One method for each RPC on approvals."""

    def __init__(self, approvals: Approvals, *, clock: Clock) -> None:
        self._approvals = approvals
        self._clock = clock

    async def RequestApproval(self, request: pb.RequestApprovalRequest, context: Context) -> pb.RequestApprovalResponse:
        caller = identity.current()
        wanted = wire.approval_from_request(request, access.derive_id(caller, request.request_id), self._clock.now())
        approval = await self._approvals.request(caller, wanted)
        return pb.RequestApprovalResponse(approval=wire.approval_to_proto(ListedApproval(approval)))

    async def ListApprovals(self, request: pb.ListApprovalsRequest, context: Context) -> pb.ListApprovalsResponse:
        found = await self._approvals.list(
            identity.current(),
            WorkspaceId(request.workspace_id),
            size=pages.choose_page_size(
                request.page_size, default=MAX_APPROVALS_PER_PAGE, maximum=MAX_APPROVALS_PER_PAGE
            ),
        )
        return pb.ListApprovalsResponse(approvals=[wire.approval_to_proto(listed) for listed in found])

    async def ListPendingApprovals(
        self, request: pb.ListPendingApprovalsRequest, context: Context
    ) -> pb.ListPendingApprovalsResponse:
        found = await self._approvals.list_pending(
            identity.current(),
            size=pages.choose_page_size(
                request.page_size, default=MAX_APPROVALS_PER_PAGE, maximum=MAX_APPROVALS_PER_PAGE
            ),
        )
        return pb.ListPendingApprovalsResponse(approvals=[wire.approval_to_proto(listed) for listed in found])

    async def DecideApproval(self, request: pb.DecideApprovalRequest, context: Context) -> pb.DecideApprovalResponse:
        approval = await self._approvals.decide(
            identity.current(),
            WorkspaceId(request.workspace_id),
            request.approval_id,
            decision=request.decision,
            by=request.decided_by,
        )
        return pb.DecideApprovalResponse(approval=wire.approval_to_proto(ListedApproval(approval)))
