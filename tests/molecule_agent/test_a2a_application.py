"""A2A requests to agents that serve over HTTP."""

import asyncio
import json

import pytest

from tests.molecule_agent.a2a_client import text_of
from tests.molecule_agent.adapters import gated as gated_adapter
from tests.waiting import eventually

HELLO_03 = {
    "message": {"kind": "message", "messageId": "m1", "role": "user", "parts": [{"kind": "text", "text": "hello"}]}
}


async def test_a_message_is_answered_with_a_completed_task_of_one_artifact(echo, client):
    task = await client.send_message(echo.url, "hello, world")

    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    assert [artifact["parts"] for artifact in task["artifacts"]] == [[{"text": "hello, world"}]]
    assert task["history"][0]["parts"] == [{"text": "hello, world"}]


async def test_a_stream_begins_with_the_task_and_its_joined_pieces_are_the_text(echo, client):
    events = [event async for event in client.stream_message(echo.url, "hello, world")]

    assert [next(iter(event)) for event in events] == ["task", *["artifactUpdate"] * 3, "statusUpdate"]
    pieces = [event["artifactUpdate"] for event in events[1:-1]]
    assert "".join(piece["artifact"]["parts"][0]["text"] for piece in pieces) == "hello, world"
    assert {piece["artifact"]["artifactId"] for piece in pieces} == {pieces[0]["artifact"]["artifactId"]}
    assert [piece.get("append", False) for piece in pieces] == [False, True, True]
    assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_the_first_piece_arrives_while_the_adapter_still_works(gated, client):
    events = client.stream_message(gated.url, "hello")
    seen = [await anext(events), await anext(events)]
    gated_adapter.Adapter.latest.gate.set()
    seen += [event async for event in events]

    assert seen[1]["artifactUpdate"]["artifact"]["parts"] == [{"text": "begun "}]
    assert seen[2]["artifactUpdate"]["artifact"]["parts"] == [{"text": "ended"}]


async def test_the_agent_answers_a2a_0_3(echo, client):
    answer = (await client.post(echo.url, json=_build_rpc_03("message/send", HELLO_03))).json()

    task = answer["result"]
    assert (task["kind"], task["status"]["state"]) == ("task", "completed")
    assert task["artifacts"][0]["parts"] == [{"kind": "text", "text": "hello"}]


async def test_the_agent_streams_in_a2a_0_3(echo, client):
    answer = await client.post(echo.url, json=_build_rpc_03("message/stream", HELLO_03))

    events = [json.loads(line[5:])["result"] for line in answer.text.splitlines() if line.startswith("data:")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event["kind"] for event in events] == ["task", *["artifact-update"] * 3, "status-update"]
    assert events[-1]["final"] is True


async def test_the_adapter_receives_the_whole_message(gated, client):
    gated_adapter.Adapter.latest.gate.set()
    message = {
        "messageId": "m7",
        "contextId": "c1",
        "role": "ROLE_USER",
        "parts": [{"text": "one"}, {"data": {"k": 1}}, {"text": "two"}],
        "metadata": {"origin": "test"},
    }
    await client.call(gated.url, "SendMessage", {"message": message})

    [turn] = gated_adapter.Adapter.latest.turns
    assert turn.text == "one\ntwo"
    assert [dict(part) for part in turn.parts] == [{"text": "one"}, {"data": {"k": 1}}, {"text": "two"}]
    assert (turn.context_id, turn.message_id, turn.metadata) == ("c1", "m7", {"origin": "test"})


async def test_callers_do_not_receive_the_text_of_an_adapters_exception(gated, client, caplog):
    gated_adapter.Adapter.latest.gate.set()
    task = await client.send_message(gated.url, "fail")

    assert task["status"]["state"] == "TASK_STATE_FAILED"
    assert task["status"]["message"]["parts"] == [{"text": "The agent could not answer; its log says why."}]
    assert "secret of the inside" not in json.dumps(task)
    assert "secret of the inside" in caplog.text
    assert gated.tracker.error_rate == 1
    assert gated.tracker.active_tasks == 0


async def test_a_cancelled_task_interrupts_the_adapter(gated, client):
    started = await client.send_message(gated.url, "hello", configuration={"returnImmediately": True})
    adapter = gated_adapter.Adapter.latest
    await eventually(lambda: adapter.turns)
    answer = await client.call(gated.url, "CancelTask", {"id": started["id"]})
    again = await client.call(gated.url, "CancelTask", {"id": started["id"]})

    assert answer["result"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert again["error"]["code"] == -32002
    assert adapter.interrupted == 1
    assert gated.tracker.active_tasks == 0
    assert gated.tracker.error_rate == 0


async def test_a_task_can_be_fetched_and_followed(gated, client):
    started = await client.send_message(gated.url, "hello", configuration={"returnImmediately": True})
    adapter = gated_adapter.Adapter.latest
    events = client.follow(gated.url, started["id"])
    first = await anext(events)
    adapter.gate.set()
    rest = [event async for event in events]
    asked = await client.call(gated.url, "GetTask", {"id": started["id"]})

    assert first["task"]["status"]["state"] == "TASK_STATE_WORKING"
    assert rest[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert text_of(asked["result"]) == "begun ended"


async def test_a_message_that_is_sent_again_is_answered_once(gated, client):
    adapter = gated_adapter.Adapter.latest
    async with asyncio.TaskGroup() as group:
        twice = [group.create_task(client.send_message(gated.url, "hello")) for _ in range(2)]
        await eventually(lambda: adapter.turns)
        adapter.gate.set()
    later = await client.send_message(gated.url, "hello")

    assert len(adapter.turns) == 1
    assert twice[0].result()["id"] == twice[1].result()["id"] == later["id"]
    assert text_of(later) == text_of(twice[1].result()) == "begun ended"


async def test_a_broken_stream_continues_when_the_message_is_sent_again(gated, client):
    adapter = gated_adapter.Adapter.latest
    broken = client.stream_message(gated.url, "hello")
    await anext(broken)
    await broken.aclose()

    again = client.stream_message(gated.url, "hello")
    first = await anext(again)
    adapter.gate.set()
    rest = [event async for event in again]
    after = [event async for event in client.stream_message(gated.url, "hello")]

    assert len(adapter.turns) == 1
    assert first["task"]["status"]["state"] == "TASK_STATE_WORKING"
    assert rest[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert [text_of(event["task"]) for event in after] == ["begun ended"]


async def test_different_content_under_the_same_id_is_another_message(echo, client):
    first = await client.send_message(echo.url, "one", "m1")
    second = await client.send_message(echo.url, "two", "m1")
    third = await client.send_message(echo.url, "one", "m2")

    assert [text_of(task) for task in (first, second, third)] == ["one", "two", "one"]
    assert len({first["id"], second["id"], third["id"]}) == 3


async def test_a_refused_message_may_be_sent_again(echo, client):
    stray = {"message": {"messageId": "m1", "taskId": "nowhere", "role": "ROLE_USER", "parts": [{"text": "hi"}]}}

    for _ in range(2):
        answer = await asyncio.wait_for(client.call(echo.url, "SendMessage", stray), 5)
        assert answer["error"]["code"] == -32001


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"Nothing"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":5}}', -32602),
    ],
)
async def test_an_invalid_request_is_answered_with_the_error_code_of_the_protocol(echo, client, body, code):
    answer = await client.post(echo.url, content=body, headers={"A2A-Version": "1.0"})

    assert answer.json()["error"]["code"] == code


def _build_rpc_03(method: str, params: dict) -> dict:
    return {"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}
