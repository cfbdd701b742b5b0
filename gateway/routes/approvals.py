"""Routes of approvals: requests of agents that a person or another workspace decides."""

import uuid

from gateway.guards import ADMIN, READ, WRITE
from gateway.request_body import BodySpec, encode_payload
from gateway.route import Call, Route
from gateway.schemas.approvals import (
    Approval,
    ApprovalDecision,
    ApprovalResult,
    NewApproval,
    PendingApproval,
    render_approval,
    render_pending_approval,
)
from protos.registry.v1 import approvals_pb2 as pb
from protos.registry.v1 import approvals_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PAGE_SIZE = 50


class ApprovalRoutes:
    """Routes to the registry, which keeps the requests."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.ApprovalServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/workspaces/{id}/approvals",
                handler=self.request,
                summary="Ask for consent to an action",
                guard=WRITE,
                body=BodySpec(model=NewApproval),
                success=201,
                answer=ApprovalResult,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/approvals",
                handler=self.list_requests,
                summary="The newest requests for consent of a workspace",
                guard=READ,
                answer=list[Approval],
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/approvals/{approvalId}/decide",
                handler=self.decide,
                summary="Decide a request for consent; not for the workspace that asks",
                guard=WRITE,
                body=BodySpec(model=ApprovalDecision),
                answer=ApprovalResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="GET",
                path="/approvals/pending",
                handler=self.list_pending,
                summary="The newest requests for consent that wait for a decision",
                guard=ADMIN,
                answer=list[PendingApproval],
            ),
        ]

    async def request(self, call: Call) -> object:
        """Request an approval."""
        request = pb.RequestApprovalRequest(
            workspace_id=call.workspace_id,
            request_id=str(uuid.uuid4()),
            action=call.body.action,
            reason=call.body.reason,
            task_id=call.body.task_id,
            context=encode_payload(call.body.context),
        )
        reply: pb.RequestApprovalResponse = await self._registry.call(
            self._stub.RequestApproval, request, on_behalf_of=call.identity
        )
        return ApprovalResult(approval_id=reply.approval.id, status=reply.approval.status)

    async def list_requests(self, call: Call) -> object:
        """List the newest requests of a workspace."""
        request = pb.ListApprovalsRequest(workspace_id=call.workspace_id, page_size=PAGE_SIZE)
        reply: pb.ListApprovalsResponse = await self._registry.call(
            self._stub.ListApprovals, request, on_behalf_of=call.identity
        )
        return [render_approval(message) for message in reply.approvals]

    async def decide(self, call: Call) -> object:
        """Decide a request."""
        request = pb.DecideApprovalRequest(
            workspace_id=call.workspace_id,
            approval_id=call.path["approvalId"],
            decision=call.body.decision,
            decided_by=call.body.decided_by,
        )
        reply: pb.DecideApprovalResponse = await self._registry.call(
            self._stub.DecideApproval, request, on_behalf_of=call.identity
        )
        return ApprovalResult(approval_id=reply.approval.id, status=reply.approval.status)

    async def list_pending(self, call: Call) -> object:
        """List the newest undecided requests."""
        request = pb.ListPendingApprovalsRequest(page_size=PAGE_SIZE)
        reply: pb.ListPendingApprovalsResponse = await self._registry.call(
            self._stub.ListPendingApprovals, request, on_behalf_of=call.identity
        )
        return [render_pending_approval(message) for message in reply.approvals]
