"""The official clients of both A2A versions, each in its own environment, call an agent directly."""

import pytest

from tests.e2e.sdk_clients.environments import GENERATIONS, converse
from tests.molecule_agent.fake_plane import SECRET

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_official_client_receives_its_answer_plain_and_streaming(echo, generation):
    seen = await converse(generation, echo.url + ".well-known/agent-card.json", "hello, world", SECRET)

    assert seen["sdk"].startswith(generation.replace("_", ".") if generation == "0_3" else "1.")
    assert (seen["card"], seen["url"]) == ("Echo", echo.url)
    assert (seen["plain"], seen["streamed"]) == ("hello, world", "hello, world")
    assert {seen["plain_state"], seen["streamed_state"]} <= {"completed", "TASK_STATE_COMPLETED"}
    assert len(seen["events"]) == 5
