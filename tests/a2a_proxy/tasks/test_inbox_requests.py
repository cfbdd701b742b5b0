"""Tests of messages that continue tasks of an agent that fetches its messages, and of the history of such tasks."""

import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from protos.registry.v1 import registry_pb2 as pb
from services.chassis import clients
from tests.a2a_proxy.fake_gateway import TARGET
from tests.a2a_proxy.queue.polling_agent import PollingAgent
from tests.a2a_proxy.queue.queue_agents import list_queued
from tests.a2a_proxy.running_proxy import RunningProxy
from tests.a2a_proxy.tasks.task_agent import Caller, build_message, workspace

ONE, TWO = str(uuid4()), str(uuid4())

UNKNOWN = "00000000-0000-4000-8000-000000000000"

METHODS = ("message/send", "message/stream", "SendMessage", "SendStreamingMessage")

WAITING_TASK = {"kind": "task", "id": "own", "contextId": "own-context", "status": {"state": "input-required"}}

ENDED_TASK = {**WAITING_TASK, "status": {"state": "rejected"}}

KB = 1024


@pytest.fixture
async def agent(proxy: RunningProxy) -> AsyncIterator[PollingAgent]:
    proxy.registry.set_workspace(TARGET, delivery_mode=pb.DELIVERY_MODE_POLL)
    for caller in (ONE, TWO):
        proxy.registry.set_workspace(caller)
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel:
        yield PollingAgent(channel)


@pytest.fixture
def one(gateway) -> Caller:
    return Caller(gateway, workspace(ONE))


@pytest.fixture
def two(gateway) -> Caller:
    return Caller(gateway, workspace(TWO))


async def acknowledge(agent: PollingAgent, **answer: object) -> str:
    """Fetch the next message and end it with a result or an error; returns its id."""
    (message,) = await agent.lease(most=1)
    await agent.acknowledge(message, **{name: json.dumps(value).encode() for name, value in answer.items()})
    return message.id


async def find_error(caller: Caller, method: str, **message: object) -> tuple[int, str]:
    """Return the code and the text of the error that answers a message."""
    error = (await caller.call(method, message=build_message(**message)))["error"]
    return error["code"], error["message"]


# Continued tasks ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", METHODS)
async def test_a_message_to_an_unknown_task_is_refused_and_not_queued(proxy, agent, one, method):
    for task_id in (UNKNOWN, "no such task"):
        assert await find_error(one, method, taskId=task_id) == (-32001, "task not found")
    assert await list_queued(proxy) == []


@pytest.mark.parametrize("method", METHODS)
async def test_a_message_to_the_task_of_another_is_refused_and_not_queued(proxy, agent, one, two, method):
    task_id = await one.start_task()

    assert await find_error(two, method, taskId=task_id) == (-32001, "task not found")
    assert len(await list_queued(proxy)) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", [{"result": ENDED_TASK}, {"result": {"done": True}}, {"error": {"code": -1}}])
async def test_a_message_to_a_task_that_has_ended_is_refused(agent, one, method, answer):
    task_id = await one.start_task()
    await acknowledge(agent, **answer)

    ended = (-32004, "the task has ended: it takes no further message")
    assert await find_error(one, method, taskId=task_id) == ended
    if answer == {"result": ENDED_TASK}:
        assert await find_error(one, method, task_id="own") == ended
    assert await agent.lease() == []


async def test_a_message_to_a_canceled_task_is_refused(agent, one):
    task_id = await one.start_task()
    await one.call("CancelTask", id=task_id)

    assert (await find_error(one, "SendMessage", taskId=task_id))[0] == -32004


async def test_a_message_continues_a_task_in_its_context(agent, one):
    waiting = await one.start_task()
    asking = await one.start_task(contextId="chosen")
    (first,) = await agent.lease(most=1)
    await acknowledge(agent, result=WAITING_TASK)
    context = (await one.call("GetTask", id=waiting))["result"]["contextId"]

    for task_id, expected in ((waiting, context), (asking, "chosen"), ("own", "chosen")):
        continued = (await one.call("SendMessage", message=build_message(taskId=task_id)))["result"]["task"]
        assert (continued["contextId"], continued["status"]["state"]) == (expected, "TASK_STATE_SUBMITTED")
    for given in ("chosen", "own-context"):
        continued = (await one.call("SendMessage", message=build_message(taskId="own", contextId=given)))["result"]
        assert continued["task"]["contextId"] == given
    assert first.id == waiting


@pytest.mark.parametrize("method", METHODS)
async def test_a_message_continues_no_task_in_another_context(proxy, agent, one, method):
    task_id = await one.start_task(contextId="chosen")

    found = await find_error(one, method, taskId=task_id, contextId="another")

    assert found == (-32602, "invalid params: the task belongs to another context")
    assert len(await list_queued(proxy)) == 1


async def test_other_tasks_may_be_named_whoever_knows_them(proxy, agent, one):
    await one.start_task(referenceTaskIds=["a task of another agent", UNKNOWN])

    assert len(await list_queued(proxy)) == 1


async def test_a_bare_body_is_stored_whatever_task_it_names(proxy, agent, one):
    body = {"method": "message/send", "params": {"message": build_message(taskId="another system's")}}

    frame = await one.send(json.dumps(body).encode())

    assert json.loads(frame.head.body)["status"] == "queued"
    assert len(await list_queued(proxy)) == 1


async def test_a_repeated_message_is_answered_though_its_task_has_ended_since(agent, one):
    task_id = await one.start_task()
    message = build_message(taskId=task_id)
    continued = (await one.call("SendMessage", message=message))["result"]["task"]["id"]
    await acknowledge(agent, result={"done": True})

    assert (await one.call("SendMessage", message=message))["result"]["task"]["id"] == continued


# History ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "get", "role", "parts"),
    [
        ("message/send", "tasks/get", "user", [{"kind": "text", "text": "hi"}]),
        ("message/send", "GetTask", "ROLE_USER", [{"text": "hi"}]),
        ("SendMessage", "tasks/get", "user", [{"kind": "text", "text": "hi"}]),
        ("SendMessage", "GetTask", "ROLE_USER", [{"text": "hi"}]),
    ],
)
async def test_the_history_of_a_task_is_its_message_whatever_becomes_of_it(agent, one, method, get, role, parts):
    message = build_message(metadata={"trace": [1]}, extensions=["https://example.com/one"])
    if method == "SendMessage":
        message |= {"role": "ROLE_USER", "parts": [{"text": "hi"}]}
    answered = (await one.call(method, message=message))["result"]
    sent = answered.get("task", answered)
    ids = {"taskId": sent["id"], "contextId": sent["contextId"]}

    async def read() -> dict:
        (told,) = (await one.call(get, id=sent["id"]))["result"]["history"]
        return {name: value for name, value in told.items() if name != "kind"}

    expected = {**message, "role": role, "parts": parts, **ids}
    assert await read() == expected
    assert [told["messageId"] for told in sent["history"]] == [message["messageId"]]
    await acknowledge(agent, result={"done": True})
    assert await read() == expected


async def test_the_history_that_the_agent_tells_is_kept(agent, one):
    task_id = await one.start_task()
    history = [{"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "told"}]}]
    await acknowledge(agent, result={**WAITING_TASK, "history": history})

    assert (await one.call("tasks/get", id=task_id))["result"]["history"] == history


@pytest.mark.parametrize(
    ("method", "length", "shown"),
    [("SendMessage", 0, 0), ("SendMessage", 1, 1), ("message/send", 0, 1), ("message/send", 2, 1)],
)
async def test_the_answer_to_a_message_has_as_much_history_as_its_sender_wants(agent, one, method, length, shown):
    params = {"message": build_message(), "configuration": {"historyLength": length}}

    answered = (await one.call(method, **params))["result"]

    assert len(answered.get("task", answered).get("history", [])) == shown


async def test_a_stream_begins_with_the_history(agent, one):
    stream = await one.open_stream("SendStreamingMessage", message=build_message(metadata={"n": 1}))

    first = await stream.next()

    assert [told["metadata"] for told in first["task"]["history"]] == [{"n": 1}]


# Lists ───────────────────────────────────────────────────────────────────────


async def test_a_list_has_histories_as_long_as_they_are_wanted_but_no_large_ones(agent, one):
    small = await one.start_task()
    await one.start_task(metadata={"large": "x" * 64 * KB})

    async def count(**query: int) -> list[int]:
        tasks = (await one.call("ListTasks", **query))["result"]["tasks"]
        return [len(task.get("history", [])) for task in tasks]

    assert await count() == [0, 1]
    assert await count(historyLength=1) == [0, 1]
    assert await count(historyLength=0) == [0, 0]
    await acknowledge(agent, result={"done": True})
    listed = (await one.call("ListTasks", pageSize=1))["result"]
    assert [(task["id"], len(task["history"])) for task in listed["tasks"]] == [(small, 1)]


async def test_pages_hold_each_task_once_in_the_order_of_their_changes(agent, one):
    ids = [await one.start_task() for _ in range(5)]
    for _ in range(2):
        await acknowledge(agent, result={"done": True})

    listed, token = [], ""
    while not listed or token:
        page = (await one.call("ListTasks", pageSize=1, pageToken=token))["result"]
        listed += page["tasks"]
        token = page["nextPageToken"]

    assert [task["id"] for task in listed] == [ids[1], ids[0], ids[4], ids[3], ids[2]]
    times = [task["status"]["timestamp"] for task in listed]
    assert times == sorted(times, reverse=True)


async def test_a_list_holds_what_changed_at_the_given_time_or_later(agent, one):
    earlier = await one.start_task()
    later = await one.start_task()
    after = (await one.call("GetTask", id=later))["result"]["status"]["timestamp"]

    listed = (await one.call("ListTasks", statusTimestampAfter=after))["result"]["tasks"]

    assert later in {task["id"] for task in listed}
    await acknowledge(agent, result={"done": True})
    ended = (await one.call("GetTask", id=earlier))["result"]["status"]["timestamp"]
    assert earlier in {
        task["id"] for task in (await one.call("ListTasks", statusTimestampAfter=ended))["result"]["tasks"]
    }
