"""Routes of delegations: tasks that one workspace gives to another."""

import uuid

from starlette.responses import Response

from gateway.errors import MalformedRequest
from gateway.guards import READ, WRITE
from gateway.json_format import json_response
from gateway.request_body import BodyFault, BodySpec
from gateway.route import Call, Route
from gateway.schemas.delegations import (
    CancelResult,
    DelegatedTask,
    Delegation,
    DelegationReport,
    DelegationRow,
    KnownDelegation,
    NewDelegation,
    RecordedDelegation,
    RecordResult,
    ReportResult,
    render_cancellation,
    render_delegation,
    render_row,
)
from protos.a2a_proxy.v1 import delegations_pb2 as pb
from protos.a2a_proxy.v1 import delegations_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError


class DelegationRoutes:
    """Routes to the A2A proxy, which keeps delegations."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.DelegationServiceStub(a2a_proxy.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/workspaces/{id}/delegate",
                handler=self.delegate,
                summary="Give a task to another workspace; a key used before gives the earlier delegation (200)",
                guard=WRITE,
                body=BodySpec(model=NewDelegation, fault_to_error=_refuse_delegation),
                success=202,
                answer=DelegatedTask,
                other_answers={200: KnownDelegation},
                refusal_statuses=frozenset({402, 404, 409, 410, 429}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/delegations",
                handler=self.list_delegations,
                summary="The newest requests and results of delegations of a workspace",
                guard=READ,
                answer=list[DelegationRow],
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/delegations/{delegationId}",
                handler=self.get,
                summary="A delegation from a workspace or to it, with its lineage and its whole result",
                guard=READ,
                answer=Delegation,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/delegations/record",
                handler=self.record,
                summary="Record a delegation that the agent carries out itself",
                guard=WRITE,
                body=BodySpec(model=RecordedDelegation, fault_to_error=_refuse_delegation),
                success=202,
                answer=RecordResult,
                refusal_statuses=frozenset({404, 410, 429}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/delegations/{delegationId}/update",
                handler=self.report,
                summary="Report the result of a delegation; one that has ended stays as it is",
                guard=WRITE,
                body=BodySpec(model=DelegationReport),
                answer=ReportResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/delegations/{delegationId}/cancel",
                handler=self.cancel,
                summary="Cancel a delegation and everything that was delegated below it",
                guard=WRITE,
                answer=CancelResult,
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    async def delegate(self, call: Call) -> object:
        """Delegate a task."""
        request = pb.DelegateRequest(
            workspace_id=call.workspace_id,
            request_id=str(uuid.uuid4()),
            target_id=call.body.target_id,
            task=call.body.task,
            idempotency_key=call.body.idempotency_key,
            lineage_token=call.body.lineage_token,
            deadline_seconds=call.body.deadline_seconds,
            budget=call.body.budget,
        )
        reply: pb.DelegateResponse = await self._a2a_proxy.call(
            self._stub.Delegate, request, on_behalf_of=call.identity
        )
        delegation = reply.delegation
        if reply.idempotent_hit:
            return _render_known(delegation)
        return DelegatedTask(delegation_id=delegation.delegation_id, status="delegated", target_id=delegation.target_id)

    async def list_delegations(self, call: Call) -> object:
        """List the newest requests and results."""
        request = pb.ListDelegationsRequest(workspace_id=call.workspace_id)
        reply: pb.ListDelegationsResponse = await self._a2a_proxy.call(
            self._stub.ListDelegations, request, on_behalf_of=call.identity
        )
        return [render_row(row) for row in reply.rows]

    async def get(self, call: Call) -> object:
        """Return one delegation."""
        request = pb.GetDelegationRequest(workspace_id=call.workspace_id, delegation_id=call.path["delegationId"])
        reply: pb.GetDelegationResponse = await self._a2a_proxy.call(
            self._stub.GetDelegation, request, on_behalf_of=call.identity
        )
        return render_delegation(reply.delegation)

    async def record(self, call: Call) -> object:
        """Record a delegation of an agent."""
        request = pb.RecordDelegationRequest(
            workspace_id=call.workspace_id,
            target_id=call.body.target_id,
            task=call.body.task,
            delegation_id=call.body.delegation_id,
        )
        reply: pb.RecordDelegationResponse = await self._a2a_proxy.call(
            self._stub.RecordDelegation, request, on_behalf_of=call.identity
        )
        return RecordResult(delegation_id=reply.delegation.delegation_id, status="recorded")

    async def report(self, call: Call) -> object:
        """Report the result of a delegation."""
        request = pb.ReportDelegationRequest(
            workspace_id=call.workspace_id,
            delegation_id=call.path["delegationId"],
            status=call.body.status,
            text=call.body.response_preview,
            error=call.body.error,
        )
        reply: pb.ReportDelegationResponse = await self._a2a_proxy.call(
            self._stub.ReportDelegation, request, on_behalf_of=call.identity
        )
        return ReportResult(delegation_id=reply.delegation.delegation_id, status=reply.delegation.status)

    async def cancel(self, call: Call) -> object:
        """Cancel a delegation."""
        request = pb.CancelDelegationRequest(workspace_id=call.workspace_id, delegation_id=call.path["delegationId"])
        reply: pb.CancelDelegationResponse = await self._a2a_proxy.call(
            self._stub.CancelDelegation, request, on_behalf_of=call.identity
        )
        return render_cancellation(reply)


def _render_known(delegation: pb.Delegation) -> Response:
    known = KnownDelegation(
        delegation_id=delegation.delegation_id,
        status=delegation.status,
        target_id=delegation.target_id,
        idempotent_hit=True,
    )
    return json_response(known, 200)


def _refuse_delegation(fault: BodyFault) -> ServiceError:
    """Return the error of a body; a target that is no UUID has a text of its own."""
    if fault.field == "target_id":
        return MalformedRequest("target_id must be a valid UUID")
    return MalformedRequest("invalid delegation request")
