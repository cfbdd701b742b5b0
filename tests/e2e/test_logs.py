"""The logs of agents, read through a whole plane."""

import pytest

from tests.e2e.conversation import create, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

UNKNOWN = "11111111-1111-4111-8111-111111111111"


@pytest.mark.covers("PROV-55")
async def test_the_log_of_a_real_agent_can_be_read(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    async def log():
        answer = await plane.http.get(f"/workspaces/{workspace_id}/console", params={"tail": 5})
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.json()["output"] else None

    log_answer = await eventually(log)
    assert (log_answer["workspace_id"], log_answer["backend"], log_answer["tail"]) == (workspace_id, "process", 5)
    answer = await plane.http.get(f"/workspaces/{UNKNOWN}/logs")
    assert (answer.status_code, answer.json()) == (404, {"error": "workspace not found"})
    external = await plane.http.post("/workspaces", json={"name": "far", "external": True})
    answer = await plane.http.get(f"/workspaces/{external.json()['id']}/logs")
    error = {"error": "logs unavailable for this workspace", "backend": "process"}
    assert (answer.status_code, answer.json()) == (501, error)
