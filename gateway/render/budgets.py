"""Budgets as the contract writes them."""

from typing_extensions import TypedDict

from protos.registry.v1 import budgets_pb2 as pb


class Budget(TypedDict):
    """USD cents; what remains is below zero where more was spent than may be."""

    budget_limit: int | None
    monthly_spend: int
    budget_remaining: int | None


def budget(message: pb.Budget) -> Budget:
    """How it stands."""
    limit = message.budget_limit if message.HasField("budget_limit") else None
    return Budget(
        budget_limit=limit,
        monthly_spend=message.monthly_spend,
        budget_remaining=None if limit is None else limit - message.monthly_spend,
    )
