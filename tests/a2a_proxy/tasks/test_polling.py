"""Tests that messages for agents that fetch them are shown as tasks, in both generations of A2A."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.queue import rules as queue_rules
from services.a2a_proxy.queue.model import LeaseKind, MessageState
from services.a2a_proxy.tasks.watching import MAX_WATCHERS_PER_TARGET
from services.chassis import clients
from tests.a2a_proxy.fake_gateway import ADMIN, TARGET, open_exchange
from tests.a2a_proxy.queue.polling_agent import PollingAgent
from tests.a2a_proxy.queue.queue_agents import list_queued
from tests.a2a_proxy.queue.queue_steps import change, get, set_columns
from tests.a2a_proxy.running_proxy import RunningProxy, run_replica
from tests.a2a_proxy.tasks.task_agent import Caller, acting_token, build_message, org_token, workspace

ONE, TWO = str(uuid4()), str(uuid4())

ORG = str(uuid4())

RACES = 50

STATES = {"submitted": "TASK_STATE_SUBMITTED", "working": "TASK_STATE_WORKING", "completed": "TASK_STATE_COMPLETED"}

ANSWERED_TASK = {
    "kind": "task",
    "id": "the-agent's",
    "contextId": "the-agent's-context",
    "status": {"state": "input-required", "timestamp": "2026-01-01T00:00:00Z"},
    "artifacts": [{"artifactId": "a", "parts": [{"kind": "text", "text": "done"}]}],
    "history": [{"kind": "message", "messageId": str(n), "role": "user", "parts": []} for n in range(3)],
    "x-vendor": 1,
}

ANSWERED_MESSAGE = {
    "kind": "message",
    "messageId": "reply",
    "role": "agent",
    "parts": [{"kind": "text", "text": "hello back"}],
}


@pytest.fixture
async def agent(proxy: RunningProxy) -> AsyncIterator[PollingAgent]:
    proxy.registry.set_workspace(TARGET, delivery_mode=pb.DELIVERY_MODE_POLL, org_id=ORG)
    for caller in (ONE, TWO):
        proxy.registry.set_workspace(caller, org_id=ORG)
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


# Sending and reading ─────────────────────────────────────────────────────────


@pytest.mark.covers("A2A-13")
@pytest.mark.parametrize(("method", "state"), [("message/send", "submitted"), ("SendMessage", "TASK_STATE_SUBMITTED")])
async def test_a_message_is_answered_with_a_submitted_task(proxy, agent, one, method, state):
    answer = await one.call(method, message=build_message(contextId="mine"))

    result = answer["result"]
    task = result["task"] if method == "SendMessage" else result
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", "r-1")
    assert (task["id"], task["contextId"], task["status"]["state"]) == (answer["queue_id"], "mine", state)
    assert task["status"]["timestamp"].endswith("Z")
    assert ("kind" in task) == (method == "message/send")
    assert (answer["status"], answer["delivery_mode"], answer["method"]) == ("queued", "poll", method)


@pytest.mark.parametrize(("get_", "prefix"), [("tasks/get", False), ("GetTask", True)])
async def test_the_task_follows_its_message_through_the_inbox(agent, one, get_, prefix):
    task = (await one.call("message/send", message=build_message()))["result"]

    async def read() -> tuple[str, str]:
        found = (await one.call(get_, id=task["id"]))["result"]
        assert found["id"] == task["id"]
        return found["status"]["state"], found["contextId"]

    states = [await read()]
    (message,) = await agent.lease()
    states.append(await read())
    await agent.acknowledge(message, result=json.dumps(ANSWERED_MESSAGE).encode())
    states.append(await read())

    expected = [STATES[name] if prefix else name for name in ("submitted", "working", "completed")]
    assert states == [(state, task["contextId"]) for state in expected]


async def test_an_answered_message_is_the_status_and_an_artifact_of_the_task(agent, one):
    await one.call("SendMessage", message=build_message())
    id_ = await acknowledge(agent, result=ANSWERED_MESSAGE)

    old = (await one.call("tasks/get", id=id_))["result"]
    new = (await one.call("GetTask", id=id_))["result"]

    assert old["status"]["message"]["parts"] == old["artifacts"][0]["parts"] == ANSWERED_MESSAGE["parts"]
    assert new["status"]["message"]["parts"] == new["artifacts"][0]["parts"] == [{"text": "hello back"}]
    assert (new["status"]["message"]["role"], new["status"]["message"]["messageId"]) == ("ROLE_AGENT", "reply")
    assert "kind" not in new


async def test_an_answered_task_keeps_its_members_under_the_id_of_the_message(agent, one):
    await one.call("message/send", message=build_message())
    id_ = await acknowledge(agent, result=ANSWERED_TASK)

    old = (await one.call("tasks/get", id=id_, historyLength=1))["result"]
    new = (await one.call("GetTask", id=id_, historyLength=0))["result"]

    assert old == {**ANSWERED_TASK, "id": id_, "history": ANSWERED_TASK["history"][-1:]}
    assert (new["status"]["state"], new["x-vendor"]) == ("TASK_STATE_INPUT_REQUIRED", 1)
    assert "history" not in new
    own_id = (await one.call("tasks/get", id="the-agent's"))["result"]
    assert own_id == {**ANSWERED_TASK, "id": "the-agent's"}


async def test_the_id_of_the_agent_shows_its_last_answer_to_the_owner(proxy, agent, one, two):
    for state in ("working", "input-required"):
        await one.call("message/send", message=build_message())
        await acknowledge(agent, result={**ANSWERED_TASK, "status": {"state": state}})
        assert (await one.call("tasks/get", id="the-agent's"))["result"]["status"]["state"] == state

    await two.call("message/send", message=build_message())
    await acknowledge(agent, result={**ANSWERED_TASK, "status": {"state": "failed"}})

    assert (await one.call("tasks/get", id="the-agent's"))["result"]["status"]["state"] == "input-required"
    assert await two.is_refused("tasks/get", id="the-agent's")


async def test_a_failure_is_told_with_its_text(proxy, agent, one):
    for _ in range(4):
        await one.call("message/send", message=build_message())
    failed = await acknowledge(agent, error={"code": -1, "message": "no model"})
    leased = [message.id for message in await agent.lease()]
    unknown, expired, dropped = leased
    await set_columns(proxy.queue, [unknown], lease_kind=LeaseKind.DISPATCH.value)
    await change(
        proxy.queue,
        unknown,
        lambda message, now: queue_rules.expire_lease(message, repeatable=False, now=now, jitter=0),
    )
    await change(proxy.queue, expired, lambda message, now: queue_rules.expire(message, now=now))
    await change(proxy.queue, dropped, lambda message, now: queue_rules.drop(message, "not needed", now=now))

    seen = {}
    for id_ in (failed, unknown, expired, dropped):
        status = (await one.call("tasks/get", id=id_))["result"]["status"]
        seen[id_] = status["state"], status["message"]["parts"][0]["text"]

    assert seen[failed] == ("failed", "no model")
    assert seen[unknown][0] == "failed"
    assert seen[unknown][1].endswith("the agent may have received it")
    assert seen[expired] == ("failed", "its time was over before it was delivered")
    assert seen[dropped] == ("canceled", "not needed")


async def test_a_repeated_message_is_answered_with_its_task_as_it_is_now(agent, one):
    message = build_message()
    first = (await one.call("SendMessage", message=message))["result"]["task"]
    await acknowledge(agent, result=ANSWERED_MESSAGE)

    again = await one.call("SendMessage", message=message)

    assert again["result"]["task"]["id"] == first["id"]
    assert again["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert (again["idempotent_hit"], again["status"]) == (True, "completed")


async def test_nobody_else_reads_cancels_or_follows_the_task(agent, one, two, gateway):
    id_ = await one.start_task()

    for method in ("tasks/get", "tasks/cancel", "tasks/resubscribe", "GetTask", "CancelTask", "SubscribeToTask"):
        assert await two.is_refused(method, id=id_), method
    assert await two.is_refused("message/send", message=build_message(taskId=id_))
    for identity in (ADMIN, acting_token(ORG)):
        assert not await Caller(gateway, identity).is_refused("tasks/get", id=id_)
    for identity in (org_token(ORG), acting_token(str(uuid4()))):
        assert await Caller(gateway, identity).is_refused("tasks/get", id=id_)


async def test_a_message_is_a_task_of_its_own_target_only(proxy, agent, one, gateway):
    proxy.registry.set_workspace(TWO, delivery_mode=pb.DELIVERY_MODE_POLL)
    id_ = await one.start_task()

    elsewhere = Caller(gateway, workspace(ONE), target=TWO)

    assert await elsewhere.is_refused("tasks/get", id=id_)
    assert await elsewhere.is_refused("tasks/cancel", id=id_)
    assert (await elsewhere.call("ListTasks"))["result"]["tasks"] == []


async def test_each_token_of_an_organisation_has_its_own_tasks(agent, one, gateway):
    own = Caller(gateway, org_token(ORG, "a"))
    id_ = await own.start_task()

    assert not await own.is_refused("tasks/get", id=id_)
    assert not await Caller(gateway, acting_token(ORG)).is_refused("tasks/get", id=id_)
    for other in (org_token(ORG, "b"), org_token(str(uuid4()), "a"), acting_token(str(uuid4()))):
        assert await Caller(gateway, other).is_refused("tasks/get", id=id_)
        assert (await Caller(gateway, other).call("ListTasks"))["result"]["tasks"] == []
    assert await one.is_refused("tasks/get", id=id_)
    assert [task["id"] for task in (await own.call("ListTasks"))["result"]["tasks"]] == [id_]


async def test_the_message_id_of_another_token_shows_no_task_of_it(agent, gateway):
    message = build_message()
    first, second = [
        (await Caller(gateway, org_token(ORG, name)).call("message/send", message=message))["result"]["id"]
        for name in ("a", "b")
    ]

    assert first != second


# Other methods ───────────────────────────────────────────────────────────────


async def test_a_waiting_message_is_cancelled_and_one_that_is_fetched_is_not(proxy, agent, one):
    waiting, fetched = await one.start_task(), await one.start_task("SendMessage")
    assert (await one.call("tasks/cancel", id=waiting))["result"]["status"]["state"] == "canceled"
    await agent.lease()

    for method in ("tasks/cancel", "CancelTask"):
        for id_ in (waiting, fetched):
            assert (await one.call(method, id=id_))["error"]["code"] == -32002
    assert (await get(proxy.queue, waiting)).state is MessageState.DROPPED
    assert (await get(proxy.queue, fetched)).state is MessageState.DISPATCHING


@pytest.mark.covers("A2A-13")
@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("tasks/get", {"id": str(uuid4())}, -32001),
        ("GetTask", {"id": "unknown"}, -32001),
        ("tasks/get", {"id": "unknown", "historyLength": -1}, -32602),
        ("tasks/pushNotificationConfig/get", {"id": "unknown"}, -32003),
        ("agent/getAuthenticatedExtendedCard", {}, -32004),
        ("GetExtendedAgentCard", {}, -32004),
        ("tasks/unheardOf", {}, -32601),
        ("unheardOf", {"id": 1}, -32601),
        ("message/send", {}, -32602),
        ("SendMessage", {"message": {"role": "ROLE_USER", "parts": "text"}}, -32602),
        ("SendMessage", {"message": {"parts": [{"text": "x"}]}, "configuration": {"historyLength": -1}}, -32602),
    ],
)
async def test_what_nobody_could_answer_is_refused_and_not_queued(proxy, agent, gateway, method, params, code):
    answer = await Caller(gateway, ADMIN).call(method, **params)

    assert (answer["id"], answer["error"]["code"]) == ("r-1", code)
    assert ("data" in answer["error"]) == method[:1].isupper()
    assert await agent.lease() == []


@pytest.mark.parametrize("operation", ["set", "get", "list", "delete"])
async def test_a_waiting_message_has_no_push_notifications(agent, one, operation):
    id_ = await one.start_task()
    params = (
        {"taskId": id_, "pushNotificationConfig": {"url": "http://8.8.8.8/"}} if operation == "set" else {"id": id_}
    )

    answer = await one.call(f"tasks/pushNotificationConfig/{operation}", **params)

    assert answer["error"]["code"] == -32003


async def test_a_list_shows_the_messages_of_the_caller_page_by_page(agent, one, two):
    mine = [await one.start_task(contextId="even" if number % 2 == 0 else "odd") for number in range(5)]
    await two.start_task()
    await acknowledge(agent, result=ANSWERED_TASK)
    await agent.lease(most=1)

    pages, token = [], ""
    while not pages or token:
        page = (await one.call("ListTasks", pageSize=2, pageToken=token))["result"]
        token = page["nextPageToken"]
        pages.append([task["id"] for task in page["tasks"]])
        assert (page["totalSize"], page["pageSize"]) == (5, 2)
    assert pages == [[mine[1], mine[0]], [mine[4], mine[3]], [mine[2]]], "those first that changed last"

    async def find(**query) -> list[str]:
        found = (await one.call("ListTasks", **query))["result"]
        assert found["totalSize"] == len(found["tasks"])
        return [task["id"] for task in found["tasks"]]

    assert await find(contextId="odd") == [mine[1], mine[3]]
    assert await find(status="TASK_STATE_INPUT_REQUIRED") == [mine[0]]
    assert await find(status="TASK_STATE_WORKING") == [mine[1]]
    assert await find(status="TASK_STATE_SUBMITTED") == mine[:1:-1]
    assert await find(status="TASK_STATE_FAILED") == []
    assert await find(statusTimestampAfter="2100-01-01T00:00:00Z") == []
    shown = (await one.call("ListTasks", status="TASK_STATE_INPUT_REQUIRED", historyLength=2))["result"]["tasks"]
    assert ("artifacts" in shown[0], len(shown[0]["history"])) == (False, 2)
    with_artifacts = (await one.call("tasks/list", includeArtifacts=True, status="input-required"))["result"]["tasks"]
    assert with_artifacts == [{**ANSWERED_TASK, "id": mine[0]}]


@pytest.mark.parametrize(
    "query",
    [
        *({"pageSize": 101}, {"pageSize": 0}, {"pageSize": "2"}),
        *({"pageToken": "x"}, {"pageToken": "7"}, {"pageToken": "1-"}, {"pageToken": "1-1x"}),
        *({"pageToken": "9" * 18 + "-1"}, {"status": "odd"}, {"statusTimestampAfter": "1"}),
    ],
)
async def test_a_list_of_something_impossible_is_refused(agent, one, query):
    assert (await one.request("ListTasks", **query)).refused.reason == "MALFORMED_MESSAGE"


# Streams ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["message/stream", "SendStreamingMessage"])
async def test_a_streamed_message_is_followed_to_its_end(agent, one, method):
    stream = await one.open_stream(method, message=build_message(contextId="mine"))
    first = await stream.next()
    id_ = await acknowledge(agent, result=ANSWERED_TASK)
    rest = await stream.read()

    assert not stream.is_interrupted
    if method == "message/stream":
        assert (first["kind"], first["id"], first["status"]["state"]) == ("task", id_, "submitted")
        *updates, artifact, last = rest
        assert all(update["status"]["state"] == "working" and not update["final"] for update in updates)
        assert (artifact["kind"], artifact["artifact"]) == ("artifact-update", ANSWERED_TASK["artifacts"][0])
        assert (last["kind"], last["final"], last["status"]) == ("status-update", True, ANSWERED_TASK["status"])
    else:
        assert (first["task"]["id"], first["task"]["status"]["state"]) == (id_, "TASK_STATE_SUBMITTED")
        *updates, artifact, last = rest
        assert all(update["statusUpdate"]["status"]["state"] == "TASK_STATE_WORKING" for update in updates)
        assert artifact["artifactUpdate"]["artifact"]["parts"] == [{"text": "done"}]
        assert last["statusUpdate"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    ids = {
        update[name]["taskId"]
        for update in rest
        for name in update
        if isinstance(update[name], dict) and "taskId" in update[name]
    }
    assert ids <= {id_}


async def test_streams_are_told_at_once_of_what_another_replica_does(proxy, agent, one):
    count = 15
    ids = [await one.start_task() for _ in range(count)]
    async with run_replica(proxy) as replica, open_exchange(replica) as other_gateway:
        caller = Caller(other_gateway, workspace(ONE))
        async with asyncio.timeout(count / 2):  # without notifications each change would be seen after a second
            for id_ in ids:
                stream = await caller.open_stream("SubscribeToTask", id=id_)
                assert (await stream.next())["task"]["status"]["state"] == "TASK_STATE_SUBMITTED"
                (message,) = await agent.lease(most=1)
                assert (await stream.next())["statusUpdate"]["status"]["state"] == "TASK_STATE_WORKING"
        await agent.acknowledge(message, result=b'"done"')
        *_, last = await stream.read()
        assert last["statusUpdate"]["status"]["message"]["parts"] == [{"text": "done"}]


async def test_a_stream_ends_whatever_ends_its_message(proxy, agent, one):
    id_ = await one.start_task()
    stream = await one.open_stream("tasks/resubscribe", id=id_)
    await stream.next()

    await one.call("tasks/cancel", id=id_)

    (last,) = await stream.read()
    assert (last["status"]["state"], last["final"]) == ("canceled", True)


async def test_a_task_that_has_ended_is_the_only_event_of_0_3_and_no_stream_of_1_0(agent, one):
    id_ = await one.start_task()
    await acknowledge(agent, result=ANSWERED_MESSAGE)

    (only,) = await (await one.open_stream("tasks/resubscribe", id=id_)).read()

    assert (only["kind"], only["status"]["state"]) == ("task", "completed")
    assert (await one.call("SubscribeToTask", id=id_))["error"]["code"] == -32004


async def test_an_acknowledgement_is_never_missed_while_a_stream_opens(agent, one):
    for number in range(RACES):
        id_ = await one.start_task()
        (message,) = await agent.lease(most=1)

        async def follow(id_: str = id_) -> str:
            stream = await one.open_stream("tasks/resubscribe", id=id_)
            return (await stream.read())[-1]["status"]["state"]

        async def end(message=message, pause: float = number / RACES / 100) -> None:
            await asyncio.sleep(pause)  # the acknowledgement comes at another moment of the opening each time
            await agent.acknowledge(message, result=b'"done"')

        async with asyncio.timeout(10):
            state, _ = await asyncio.gather(follow(), end())
        assert state == "completed"


async def test_a_streamed_message_is_refused_before_it_is_stored_if_it_could_not_be_followed(proxy, agent, one):
    id_ = await one.start_task()
    for _ in range(MAX_WATCHERS_PER_TARGET):
        await (await one.open_stream("tasks/resubscribe", id=id_)).next()

    refused = (await one.request("message/stream", message=build_message())).refused

    assert refused.reason == "AGENT_BUSY"
    assert len(await list_queued(proxy)) == 1


async def test_a_stream_lasts_no_longer_than_its_caller_waits(agent, one):
    stream = await one.open_stream("message/stream", x_timeout="1", message=build_message())
    first = await stream.next()

    assert (first["status"]["state"], await stream.next()) == ("submitted", None)
    assert stream.is_interrupted


async def test_streams_end_when_the_service_stops(proxy, agent, one):
    stream = await one.open_stream("message/stream", message=build_message())
    await stream.next()

    proxy.stop.set()

    assert await stream.read() == []
    assert stream.is_interrupted


# Push workspaces ─────────────────────────────────────────────────────────────


async def test_a_message_that_waits_for_its_agent_is_a_task_too(proxy, one, two):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PROVISIONING)
    proxy.registry.set_workspace(ONE)
    frame = await one.request("message/send", message=build_message())
    receipt = json.loads(frame.head.body)
    assert (frame.head.status, "result" in receipt) == (202, False)

    found = (await one.call("tasks/get", id=receipt["queue_id"]))["result"]

    assert (found["id"], found["status"]["state"]) == (receipt["queue_id"], "submitted")
    assert await two.is_refused("tasks/get", id=receipt["queue_id"])
