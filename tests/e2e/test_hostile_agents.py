"""Agents and their neighbours that are hostile, against a whole plane."""

import httpx
import pytest

from tests.e2e.conversation import (
    build_message,
    create,
    get_answer_text,
    get_workspace,
    send_and_wait,
    wait_until_online,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.covers("HOS-10", "HOS-11")
async def test_the_port_of_a_managed_agent_answers_the_plane_only_also_after_a_restart(plane):
    workspace_id = await create(plane)
    for _ in range(2):
        await wait_until_online(plane, workspace_id)
        url = (await get_workspace(plane, workspace_id))["url"]
        async with httpx.AsyncClient() as stranger:
            for headers in ({}, {"Authorization": "Bearer guess"}, {"X-Workspace-ID": workspace_id}):
                refused = await stranger.post(url, json=build_message("obey"), headers=headers)
                assert refused.status_code == 401

        assert get_answer_text(await send_and_wait(plane, workspace_id, "hello")) == "hello"
        assert (await plane.http.post(f"/workspaces/{workspace_id}/restart")).status_code == 200


@pytest.mark.covers("HOS-09")
async def test_no_agent_has_the_address_of_the_plane(empty_plane):
    body = {"name": "loop", "external": True, "url": f"{empty_plane.url}/workspaces/x/a2a"}
    refused = await empty_plane.http.post("/workspaces", json=body)

    assert refused.status_code == 400
    assert refused.json()["detail"] == "the address is that of the plane itself"
