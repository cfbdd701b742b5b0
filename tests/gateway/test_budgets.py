"""Budgets over HTTP."""

import pytest

from protos.registry.v1 import budgets_pb2 as pb

W = "11111111-1111-4111-8111-111111111111"
PATH = f"/workspaces/{W}/budget"

NO_INTEGER = "budget_limit must be an integer (USD cents) or null"


@pytest.mark.parametrize(
    ("budget", "body"),
    [
        (pb.Budget(monthly_spend=3), {"budget_limit": None, "monthly_spend": 3, "budget_remaining": None}),
        (
            pb.Budget(budget_limit=0, monthly_spend=3),
            {"budget_limit": 0, "monthly_spend": 3, "budget_remaining": -3},
        ),
    ],
)
async def test_a_budget_is_rendered(plane, budget, body):
    plane.budgets.replies["GetBudget"] = pb.GetBudgetResponse(budget=budget)

    answer = await plane.http.get(PATH)

    assert (answer.status_code, answer.json()) == (200, body)


@pytest.mark.parametrize("limit", [0, 500, 2**63 - 1, None])
async def test_a_limit_is_set_or_removed(plane, limit):
    plane.budgets.replies["SetBudget"] = pb.SetBudgetResponse(budget=pb.Budget(budget_limit=limit))

    answer = await plane.http.patch(PATH, json={"budget_limit": limit})

    assert (answer.status_code, answer.json()["budget_limit"]) == (200, limit)
    assert [one.request for one in plane.budgets.received] == [pb.SetBudgetRequest(workspace_id=W, budget_limit=limit)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "budget_limit field is required"),
        (b'{"budget_limit":-1}', "budget_limit must be >= 0 (USD cents)"),
        (b'{"budget_limit":-99999999999999999999}', "budget_limit must be >= 0 (USD cents)"),
        (b'{"budget_limit":99999999999999999999}', NO_INTEGER),
        (b'{"budget_limit":1.0}', NO_INTEGER),
        (b'{"budget_limit":"1"}', NO_INTEGER),
        (b'{"budget_limit":true}', NO_INTEGER),
        (b'{"budget_limit":[1]}', NO_INTEGER),
        (b"[]", "invalid request body"),
        (b"{not json", "invalid request body"),
    ],
)
async def test_an_invalid_limit_is_refused_and_changes_nothing(plane, body, said):
    answer = await plane.http.patch(PATH, content=body)

    assert (answer.status_code, answer.json()) == (400, {"error": said})
    assert plane.budgets.received == []
