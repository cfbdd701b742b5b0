"""The gRPC servicer of BudgetService."""

from protos.registry.v1 import budgets_pb2 as pb
from protos.registry.v1 import budgets_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.registry.directory.budgets import Budgets
from services.registry.wire.budgets import budget_to
from services.registry.workspace.model import WorkspaceId


class BudgetServicer(rpc.BudgetServiceServicer):
    """Converts between protobuf and `Budgets`."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    async def GetBudget(self, request: pb.GetBudgetRequest, context: Context) -> pb.GetBudgetResponse:
        workspace = await self._budgets.get(identity.current(), WorkspaceId(request.workspace_id))
        return pb.GetBudgetResponse(budget=budget_to(workspace))

    async def SetBudget(self, request: pb.SetBudgetRequest, context: Context) -> pb.SetBudgetResponse:
        cents = request.budget_limit if request.HasField("budget_limit") else None
        workspace = await self._budgets.set_limit(identity.current(), WorkspaceId(request.workspace_id), cents)
        return pb.SetBudgetResponse(budget=budget_to(workspace))
