"""The audit log of a whole plane."""

import pytest

from tests.e2e.conversation import create
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_changes_of_a_workspace_and_its_tokens_are_recorded_and_the_chain_is_intact(plane):
    workspace_id = await create(plane)
    await plane.http.patch(f"/workspaces/{workspace_id}", json={"name": "renamed"})

    async def are_recorded():
        records = (await plane.http.get("/audit", params={"workspace_id": workspace_id})).json()
        actions = {(record["actor"], record["action"]) for record in records}
        return actions >= {
            ("anonymous", "workspace.created"),
            ("anonymous", "workspace.changed"),
            ("service:provisioner", "token.issued"),
        }

    await eventually(are_recorded)
    verified = (await plane.http.get("/audit/verification")).json()
    assert (verified["verdict"], verified["complete"]) == ("intact", True)
