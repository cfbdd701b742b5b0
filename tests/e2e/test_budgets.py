"""The budget of a workspace in a whole plane."""

import pytest

from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MESSAGE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "message/send",
    "params": {
        "message": {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "x"}]}
    },
}


@pytest.mark.covers("A2A-36")
async def test_a_new_limit_is_in_force_within_a_second(empty_plane):
    target, _ = await external(empty_plane, "spender")

    async def refused() -> bool:
        answer = await empty_plane.http.post(f"/workspaces/{target}/a2a", json=MESSAGE)
        if answer.status_code != 402:
            return False
        assert answer.json() == {"error": "workspace budget limit exceeded"}
        return True

    async def let_in() -> bool:
        return not await refused()

    assert await let_in()
    for limit, expected in ((0, refused), (1, let_in), (None, let_in)):
        answer = await empty_plane.http.patch(f"/workspaces/{target}/budget", json={"budget_limit": limit})
        assert answer.json() == {"budget_limit": limit, "monthly_spend": 0, "budget_remaining": limit}
        await eventually(expected, within=1)
