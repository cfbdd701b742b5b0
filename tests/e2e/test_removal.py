"""Removing workspaces of a running plane."""

import time

import pytest

from deploy.plane import Plane
from tests.e2e.conversation import create, get_workspace, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.covers("DWN-07", "DWN-08")
@pytest.mark.parametrize("action", ["pause", "hibernate", None])
async def test_a_workspace_is_removed_at_once_in_every_status(plane, action):
    workspace_id = await create(plane, f"one {action}")
    await wait_until_online(plane, workspace_id)
    if action:
        answer = await plane.http.post(f"/workspaces/{workspace_id}/{action}", headers=plane.admin, timeout=40)
        assert answer.is_success, answer.text
        wanted = {"pause": "paused", "hibernate": "hibernated"}[action]
        await eventually(lambda: _has_status(plane, workspace_id, wanted), within=20)
    began = time.monotonic()

    answer = await plane.http.delete(f"/workspaces/{workspace_id}?purge=true", headers=plane.admin, timeout=60)

    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < 15


async def _has_status(plane: Plane, workspace_id: str, status: str) -> bool:
    return (await get_workspace(plane, workspace_id))["status"] == status
