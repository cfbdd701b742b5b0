"""Pausing, resuming, hibernating and waking workspaces with real agents."""

import pytest

from tests.e2e.conversation import (
    create,
    get_answer_text,
    get_workspace,
    send,
    send_and_wait,
    wait_for_answer,
    wait_until_online,
)
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_paused_agent_ends_and_a_resumed_one_answers_again(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    async def refused():
        """The proxy receives the new status a moment after the caller has its answer."""
        response = await send(plane, workspace_id, "hello")
        return response.status_code == 503 and response.json().get("status") == "paused"

    async def answers():
        response = await send_and_wait(plane, workspace_id, "hello again")
        return response.status_code == 200 and get_answer_text(response) == "hello again"

    paused = await plane.http.post(f"/workspaces/{workspace_id}/pause")
    await eventually(refused)
    resumed = await plane.http.post(f"/workspaces/{workspace_id}/resume", timeout=10)
    await wait_until_online(plane, workspace_id)

    assert paused.json() == {"status": "paused", "paused_count": 1}
    assert resumed.json() == {"status": "provisioning", "resumed_count": 1}
    await eventually(answers)


@pytest.mark.covers("BEY-04")
async def test_a_message_wakes_a_hibernated_agent(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    asleep = await plane.http.post(f"/workspaces/{workspace_id}/hibernate", timeout=40)
    assert (asleep.status_code, asleep.json()) == (200, {"status": "hibernated"})
    assert (await get_workspace(plane, workspace_id))["status"] == "hibernated"

    async def wakes():
        """The proxy receives the new status a moment after the caller has its answer."""
        response = await send(plane, workspace_id, "wake up")
        return response.json() if response.status_code == 202 and response.json().get("waking") else None

    receipt = await eventually(wakes)

    assert get_answer_text(await wait_for_answer(plane, workspace_id, receipt["queue_id"])) == "wake up"
    assert (await get_workspace(plane, workspace_id))["status"] == "online"
    assert get_answer_text(await send_and_wait(plane, workspace_id, "good morning")) == "good morning"
