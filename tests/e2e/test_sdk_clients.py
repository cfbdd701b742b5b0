"""The official clients of both A2A versions call an agent through the plane; they know only the URL of its card."""

import pytest

from tests.e2e.conversation import create, wait_until_online
from tests.e2e.sdk_clients.environments import GENERATIONS, converse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_official_client_finds_the_workspace_by_its_card_and_receives_answers(plane, generation):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    card = f"{plane.url}/workspaces/{workspace_id}/a2a/.well-known/agent-card.json"
    seen = await converse(generation, card, "hello through the plane")

    assert (seen["plain"], seen["streamed"]) == ("hello through the plane", "hello through the plane")
    assert seen["url"] == f"{plane.url}/workspaces/{workspace_id}/a2a"
    assert len(seen["events"]) > 2
