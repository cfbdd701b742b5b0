"""Budgets of workspaces."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel
from protos.registry.v1 import budgets_pb2 as pb

Cents = Annotated[int, Field(ge=0, lt=2**63)]


class BudgetLimit(RequestModel, title="Limit"):
    """Body of PATCH /workspaces/{id}/budget: `null` is no limit, and has to be said."""

    budget_limit: Cents | None


class Budget(TypedDict):
    """USD cents; what remains is below zero where more was spent than may be."""

    budget_limit: int | None
    monthly_spend: int
    budget_remaining: int | None


def render_budget(message: pb.Budget) -> Budget:
    """Return the limit of a budget, what is spent and what remains."""
    limit = message.budget_limit if message.HasField("budget_limit") else None
    return Budget(
        budget_limit=limit,
        monthly_spend=message.monthly_spend,
        budget_remaining=None if limit is None else limit - message.monthly_spend,
    )
