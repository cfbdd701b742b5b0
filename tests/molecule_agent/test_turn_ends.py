"""The ends of turns that an adapter chooses, as callers see them."""

import pytest

from tests.molecule_agent.a2a_client import text_of

ADAPTER = "tests.molecule_agent.adapters.ending"


@pytest.mark.parametrize(
    ("text", "state", "error_rate"),
    [
        ("fail", "TASK_STATE_FAILED", 1.0),
        ("reject", "TASK_STATE_REJECTED", 0.0),
        ("ask", "TASK_STATE_INPUT_REQUIRED", 0.0),
        ("go on", "TASK_STATE_COMPLETED", 0.0),
    ],
)
async def test_a_task_ends_as_the_adapter_chooses(start, plane, client, text, state, error_rate):
    async with start(plane, adapter_module=ADAPTER) as agent:
        task = await client.send_message(agent.url, text)

        assert task["status"]["state"] == state
        assert text_of(task) == f"heard {text}"
        if text != "go on":
            assert task["status"]["message"]["parts"] == [{"text": f"told to {text}"}]
        assert agent.tracker.error_rate == error_rate


async def test_the_answer_to_a_question_continues_its_task(start, plane, client):
    async with start(plane, adapter_module=ADAPTER) as agent:
        asked = await client.send_message(agent.url, "ask")
        message = {
            "messageId": "m2",
            "role": "ROLE_USER",
            "parts": [{"text": "here you are"}],
            "taskId": asked["id"],
            "contextId": asked["contextId"],
        }
        answer = await client.call(agent.url, "SendMessage", {"message": message})

        assert answer["result"]["task"]["id"] == asked["id"]
        assert answer["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_an_adapter_is_closed_when_the_agent_stops(start, plane, tmp_path):
    async with start(plane, adapter_module=ADAPTER):
        assert not (tmp_path / "closed").exists()

    assert (tmp_path / "closed").exists()
