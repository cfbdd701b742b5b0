"""Callers of one dialect and agents of the other one, through the whole proxy."""

import json

import pytest
from aiohttp import web

from molecule_a2a.event_streams import EventReader
from protos.registry.v1.registry_pb2 import AgentInterface
from services.a2a_proxy.queue.model import MessageState
from tests.a2a_proxy.dialect_agents import CurrentAgent, LegacyAgent
from tests.a2a_proxy.fake_gateway import TARGET
from tests.agents import serve_agent
from tests.waiting import eventually


def offer(proxy, agent, *versions, **fields):
    interfaces = [AgentInterface(url=agent.url, binding="JSONRPC", version=version, **fields) for version in versions]
    proxy.registry.set_workspace(TARGET, address=agent.url, interfaces=interfaces)


def request(method: str, params: dict, id_: object = 7) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}).encode()


def legacy_message(text: str, method: str = "message/send") -> bytes:
    parts = [{"kind": "text", "text": text}]
    return request(method, {"message": {"kind": "message", "messageId": "m", "role": "user", "parts": parts}})


def current_message(text: str, method: str = "SendMessage") -> bytes:
    return request(method, {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}})


async def ask(gateway, body: bytes, *, version: str = "") -> dict:
    head = (await gateway.send_message(body, headers={"a2a-version": version} if version else {})).head
    assert (head.status, head.headers["content-type"].partition(";")[0]) == (200, "application/json")
    return json.loads(head.body)


async def read_events(gateway, body: bytes) -> list[dict]:
    """Return what the events of a stream hold."""
    await gateway.open(5, body)
    head = (await gateway.next(5)).head
    assert head.headers["content-type"].startswith("text/event-stream")
    text = head.body
    while not head.complete and not (frame := await gateway.next(5)).HasField("end"):
        text += frame.chunk
    events = EventReader(max_event_bytes=10_000).read(text)
    return [json.loads(event.data) for event in events if event.data is not None]


async def test_a_caller_of_0_3_gets_the_answer_of_an_agent_of_1_0(proxy, gateway):
    async with serve_agent(CurrentAgent()) as agent:
        offer(proxy, agent, "1.0")

        found = await ask(gateway, legacy_message("hello"))

    assert found["id"] == 7
    assert (found["result"]["kind"], found["result"]["status"]) == ("task", {"state": "completed"})
    assert found["result"]["artifacts"] == [{"artifactId": "a", "parts": [{"kind": "text", "text": "hello"}]}]


async def test_a_caller_of_1_0_gets_the_answer_of_an_agent_of_0_3(proxy, gateway):
    async with serve_agent(LegacyAgent()) as agent:
        offer(proxy, agent, "0.3")

        found = await ask(gateway, current_message("hello"), version="1.0")

    assert found["result"]["task"]["status"] == {"state": "TASK_STATE_COMPLETED"}
    assert found["result"]["task"]["artifacts"] == [{"artifactId": "a", "parts": [{"text": "hello"}]}]


async def test_a_request_passes_unchanged_if_the_agent_serves_its_dialect(proxy, gateway):
    body = legacy_message("hello").replace(b'": ', b'" :  ')
    async with serve_agent(LegacyAgent()) as agent:
        offer(proxy, agent, "1.0", "0.3")

        await ask(gateway, body)

        assert agent.bodies == [body]


async def test_a_caller_that_states_1_0_reads_1_0_whatever_its_method(proxy, gateway):
    async with serve_agent(LegacyAgent()) as agent:
        offer(proxy, agent, "0.3")

        found = await ask(gateway, legacy_message("hello"), version="1")

        assert agent.requests[0].headers["a2a-version"] == "0.3"
    assert found["result"]["task"]["status"] == {"state": "TASK_STATE_COMPLETED"}
    assert found["result"]["task"]["status"] == {"state": "TASK_STATE_COMPLETED"}


async def test_a_stream_of_an_agent_of_0_3_begins_with_a_task_for_a_caller_of_1_0(proxy, gateway):
    async with serve_agent(LegacyAgent()) as agent:
        offer(proxy, agent, "0.3")

        events = await read_events(gateway, current_message("hello", "SendStreamingMessage"))

    assert [next(iter(event["result"])) for event in events] == [
        "task",
        "statusUpdate",
        "artifactUpdate",
        "statusUpdate",
    ]
    assert {event["id"] for event in events} == {7}
    assert events[2]["result"]["artifactUpdate"]["artifact"]["parts"] == [{"text": "hello"}]


async def test_a_stream_of_an_agent_of_1_0_has_kinds_for_a_caller_of_0_3(proxy, gateway):
    async with serve_agent(CurrentAgent()) as agent:
        offer(proxy, agent, "1.0")

        events = await read_events(gateway, legacy_message("hello", "message/stream"))

    assert [event["result"]["kind"] for event in events] == ["task", "artifact-update", "status-update"]
    assert events[-1]["result"]["final"] is True


async def test_a_stream_that_fails_at_once_is_one_event_for_a_caller_of_0_3(proxy, gateway):
    async with serve_agent(CurrentAgent()) as agent:
        offer(proxy, agent, "1.0")

        [event] = await read_events(gateway, legacy_message("fail", "message/stream"))

    assert event == {"jsonrpc": "2.0", "id": 7, "error": {"code": -32004, "message": "no streams today"}}


async def test_a_deleted_push_configuration_is_null_for_a_caller_of_0_3(proxy, gateway):
    async with serve_agent(CurrentAgent()) as agent:
        offer(proxy, agent, "1.0")
        params = {"id": "t", "pushNotificationConfigId": "p"}

        found = await ask(gateway, request("tasks/pushNotificationConfig/delete", params))

        assert json.loads(agent.bodies[0])["params"] == {"taskId": "t", "id": "p"}
    assert found["result"] is None


async def test_an_operation_that_the_agent_cannot_have_is_refused_by_the_protocol(proxy, gateway):
    async with serve_agent(LegacyAgent()) as agent:
        offer(proxy, agent, "0.3")

        found = await ask(gateway, request("ListTasks", {}, "list"))

        assert agent.bodies == []
    assert (found["id"], found["error"]["code"]) == ("list", -32004)
    assert found["error"]["data"][0]["reason"] == "UNSUPPORTED_OPERATION"


async def test_the_tenant_of_an_interface_is_named_for_callers_that_cannot(proxy, gateway):
    async with serve_agent(CurrentAgent()) as agent:
        offer(proxy, agent, "1.0", tenant="blue")

        await ask(gateway, request("tasks/get", {"id": "t"}))

        assert json.loads(agent.bodies[0])["params"] == {"id": "t", "tenant": "blue"}


async def test_an_answer_that_is_no_json_is_an_invalid_answer(proxy, gateway):
    class BrokenAgent(CurrentAgent):
        async def reply(self, request, message):
            return web.Response(text="hello", content_type="application/json")

    async with serve_agent(BrokenAgent()) as agent:
        offer(proxy, agent, "1.0")

        found = await ask(gateway, request("tasks/get", {"id": "t"}))

    assert found == {"jsonrpc": "2.0", "id": 7, "error": {"code": -32006, "message": "the agent's answer is not JSON"}}


@pytest.mark.covers("A2A-31")
async def test_a_queued_message_is_converted_when_it_is_delivered(proxy, gateway):
    async with serve_agent(CurrentAgent()) as agent:
        offer(proxy, agent, "1.0")

        head = (await gateway.send_message(legacy_message("later"), headers={"prefer": "respond-async"})).head
        queue_id = json.loads(head.body)["queue_id"]

        async def find_completed():
            async with proxy.queue.begin() as tx:
                item = await tx.get(queue_id)
            return item if item is not None and item.state is MessageState.COMPLETED else None

        item = await eventually(find_completed)
        assert json.loads(agent.bodies[0])["method"] == "SendMessage"
    assert json.loads(item.answer_body)["result"]["kind"] == "task"
