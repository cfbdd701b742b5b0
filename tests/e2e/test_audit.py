"""Who did what, over the whole plane."""

import pytest

from tests.e2e.conversation import create
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_what_is_done_to_a_workspace_and_its_tokens_is_told_and_the_chain_holds(plane):
    workspace_id = await create(plane)
    await plane.http.patch(f"/workspaces/{workspace_id}", json={"name": "renamed"})

    async def told():
        deeds = (await plane.http.get("/audit", params={"workspace_id": workspace_id})).json()
        done = {(deed["actor"], deed["action"]) for deed in deeds}
        return done >= {
            ("anonymous", "workspace.created"),
            ("anonymous", "workspace.changed"),
            ("service:provisioner", "token.issued"),
        }

    await eventually(told)
    verified = (await plane.http.get("/audit/verification")).json()
    assert (verified["verdict"], verified["complete"]) == ("intact", True)
