"""Converts budgets to protobuf."""

from protos.registry.v1 import budgets_pb2 as pb
from services.registry.workspace.model import Workspace


def budget_to(workspace: Workspace) -> pb.Budget:
    """Return the limit and the spending of a workspace."""
    return pb.Budget(budget_limit=workspace.budget_limit, monthly_spend=workspace.vitals.monthly_spend)
