"""Routes of budgets."""

from gateway.errors import MalformedRequest
from gateway.guards import ADMIN, READ
from gateway.request_body import BodyFault, BodySpec
from gateway.route import Call, Route
from gateway.schemas.budgets import Budget, BudgetLimit, render_budget
from protos.registry.v1 import budgets_pb2 as pb
from protos.registry.v1 import budgets_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

PATH = "/workspaces/{id}/budget"

REFUSAL_TEXTS = {
    "missing": "budget_limit field is required",
    "greater_than_equal": "budget_limit must be >= 0 (USD cents)",
}
"""Error texts, by the type of the fault in pydantic."""

NOT_AN_INTEGER = "budget_limit must be an integer (USD cents) or null"


class BudgetRoutes:
    """Routes to the registry."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.BudgetServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path=PATH,
                handler=self.get,
                summary="What a workspace may spend, and what it has spent",
                guard=READ,
                answer=Budget,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="PATCH",
                path=PATH,
                handler=self.set_limit,
                summary="Limit what a workspace may spend, or take the limit away",
                guard=ADMIN,
                body=BodySpec(model=BudgetLimit, fault_to_error=_refuse_limit),
                answer=Budget,
                refusal_statuses=frozenset({404}),
            ),
        ]

    async def get(self, call: Call) -> object:
        """Read the budget and what was spent."""
        request = pb.GetBudgetRequest(workspace_id=call.workspace_id)
        reply: pb.GetBudgetResponse = await self._registry.call(
            self._stub.GetBudget, request, on_behalf_of=call.identity
        )
        return render_budget(reply.budget)

    async def set_limit(self, call: Call) -> object:
        """Set or remove the limit."""
        request = pb.SetBudgetRequest(workspace_id=call.workspace_id, budget_limit=call.body.budget_limit)
        reply: pb.SetBudgetResponse = await self._registry.call(
            self._stub.SetBudget, request, on_behalf_of=call.identity
        )
        return render_budget(reply.budget)


def _refuse_limit(fault: BodyFault) -> ServiceError:
    return MalformedRequest(REFUSAL_TEXTS.get(fault.kind, NOT_AN_INTEGER)) if fault.field else MalformedRequest()
