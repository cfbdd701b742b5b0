"""Tests that tasks belong to the callers that made them."""

import json
from uuid import uuid4

import pytest
import sqlalchemy as sa

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.queue.model import MessageState
from services.a2a_proxy.tasks.tables import TASKS
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import ADMIN, TARGET, decode_details, open_exchange
from tests.a2a_proxy.queue.queue_agents import wait_for_state
from tests.a2a_proxy.queue.queue_steps import execute
from tests.a2a_proxy.running_proxy import run_replica
from tests.a2a_proxy.tasks.task_agent import Caller, TaskAgent, acting_token, build_message, org_token, workspace
from tests.agents import serve_agent
from tests.waiting import eventually

ORG, OTHER_ORG = str(uuid4()), str(uuid4())
ONE, TWO = str(uuid4()), str(uuid4())

ABOUT_A_TASK = [
    ("tasks/get", {"id": "{}"}),
    ("tasks/cancel", {"id": "{}"}),
    ("tasks/resubscribe", {"id": "{}"}),
    ("tasks/pushNotificationConfig/set", {"taskId": "{}", "pushNotificationConfig": {"url": "http://8.8.8.8/"}}),
    ("tasks/pushNotificationConfig/get", {"id": "{}"}),
    ("tasks/pushNotificationConfig/list", {"id": "{}"}),
    ("tasks/pushNotificationConfig/delete", {"id": "{}", "pushNotificationConfigId": "c"}),
    ("GetTask", {"id": "{}"}),
    ("CancelTask", {"id": "{}"}),
    ("SubscribeToTask", {"id": "{}"}),
    ("CreateTaskPushNotificationConfig", {"taskId": "{}", "url": "http://8.8.8.8/"}),
    ("GetTaskPushNotificationConfig", {"taskId": "{}", "id": "c"}),
    ("ListTaskPushNotificationConfigs", {"task_id": "{}"}),
    ("DeleteTaskPushNotificationConfig", {"taskId": "{}", "id": "c"}),
    ("message/send", {"message": {"parts": [{"kind": "text", "text": "hi"}], "taskId": "{}"}}),
    ("message/stream", {"message": {"parts": [{"kind": "text", "text": "hi"}], "taskId": "{}"}}),
    ("SendMessage", {"message": {"parts": [{"text": "hi"}], "taskId": "{}"}}),
    ("SendStreamingMessage", {"message": {"parts": [{"text": "hi"}], "referenceTaskIds": ["x", "{}"]}}),
    ("tasks/send", {"id": "{}"}),
]


@pytest.fixture
async def agent(proxy):
    async with serve_agent(TaskAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, org_id=ORG)
        proxy.registry.set_workspace(ONE, org_id=ORG)
        proxy.registry.set_workspace(TWO, org_id=ORG)
        yield agent


@pytest.fixture
def one(gateway) -> Caller:
    return Caller(gateway, workspace(ONE))


@pytest.fixture
def two(gateway) -> Caller:
    return Caller(gateway, workspace(TWO))


@pytest.fixture
def admin(gateway) -> Caller:
    return Caller(gateway, ADMIN)


async def queue(caller: Caller, **message) -> str:
    """Have a message queued; returns its id there."""
    frame = await caller.request("message/send", headers={"prefer": "respond-async"}, message=build_message(**message))
    assert frame.head.status == 202
    return json.loads(frame.head.body)["queue_id"]


@pytest.mark.parametrize(("method", "params"), ABOUT_A_TASK, ids=[method for method, _ in ABOUT_A_TASK])
async def test_a_task_of_another_workspace_is_not_found_and_the_agent_receives_nothing(agent, one, two, method, params):
    task_id = await one.start_task()
    asked = json.loads(json.dumps(params).replace("{}", task_id))

    assert await two.is_refused(method, **asked)

    assert agent.methods == ["message/send"]


async def test_a_workspace_uses_its_own_tasks(agent, one):
    task_id = await one.start_task()

    assert (await one.call("tasks/get", id=task_id))["result"]["id"] == task_id
    await one.call("message/send", message=build_message(taskId=task_id))
    assert agent.methods == ["message/send", "tasks/get", "message/send"]


async def test_the_error_has_the_form_of_the_generation(agent, one, two):
    task_id = await one.start_task("SendMessage")

    old, new = [await two.call(method, id=task_id) for method in ("tasks/get", "GetTask")]

    assert old == {"jsonrpc": "2.0", "id": "r-1", "error": {"code": -32001, "message": "task not found"}}
    (detail,) = new["error"]["data"]
    assert (detail["reason"], detail["domain"]) == ("TASK_NOT_FOUND", "a2a-protocol.org")


async def test_an_unknown_task_is_refused_to_workspaces_and_left_to_the_agent_for_operators(agent, one, admin):
    assert await one.is_refused("tasks/get", id="unknown")
    assert agent.methods == []

    assert (await admin.call("tasks/get", id="unknown"))["result"]["id"] == "unknown"
    await one.call("message/send", message=build_message(taskId="unknown"))
    assert agent.methods == ["tasks/get", "message/send"]


async def test_tokens_see_their_own_tasks_or_those_of_their_organisation_and_operators_all(agent, gateway, one, admin):
    own, other = org_token(ORG, "own"), org_token(ORG, "other")
    of_workspace, of_admin = await one.start_task(), await admin.start_task()
    of_org = await Caller(gateway, own).start_task()
    expected = [
        (ADMIN, [of_workspace, of_admin, of_org], []),
        (Identity(kind=Kind.ANONYMOUS), [of_workspace, of_admin, of_org], []),
        (own, [of_org], [of_workspace, of_admin]),
        (other, [], [of_workspace, of_admin, of_org]),
        (acting_token(ORG), [of_workspace, of_org], [of_admin]),
        (org_token(OTHER_ORG), [], [of_workspace, of_admin, of_org]),
        (workspace(ONE), [of_workspace], [of_admin, of_org]),
    ]

    for identity, visible, hidden in expected:
        caller = Caller(gateway, identity)
        assert [await caller.is_refused("tasks/get", id=id_) for id_ in visible] == [False] * len(visible), identity
        assert [await caller.is_refused("tasks/get", id=id_) for id_ in hidden] == [True] * len(hidden), identity


async def test_the_agent_is_told_the_caller_and_no_caller_can_choose_it(agent, gateway, one, admin):
    forged = {"x-molecule-caller": TWO}
    for caller in (one, admin, Caller(gateway, org_token(ORG))):
        await caller.call("message/send", headers=forged, message=build_message())

    assert agent.callers == [ONE, "operator", "operator"]


async def test_a_queued_message_tells_the_caller_too(proxy, agent, one, admin):
    for caller in (one, admin):
        await wait_for_state(proxy, await queue(caller), MessageState.COMPLETED)

    assert agent.callers == [ONE, "operator"]


async def test_another_replica_knows_a_task_as_soon_as_its_caller_does(proxy, agent, one, gateway):
    async with run_replica(proxy) as replica, open_exchange(replica) as other_gateway:
        for number in range(50):
            method = ("message/send", "SendMessage")[number % 2]
            task_id = await one.start_task(method)
            assert not await Caller(other_gateway, workspace(ONE)).is_refused("tasks/get", id=task_id)
            assert await Caller(other_gateway, workspace(TWO)).is_refused("tasks/get", id=task_id)


async def test_another_replica_knows_the_task_of_a_stream_as_soon_as_its_first_event_arrives(proxy, agent, one):
    async with run_replica(proxy) as replica, open_exchange(replica) as other_gateway:
        for _ in range(10):
            stream = await one.open_stream("message/stream", message=build_message())
            first = await stream.next()
            assert not await Caller(other_gateway, workspace(ONE)).is_refused("tasks/get", id=first["taskId"])
            assert len(await stream.read()) == 1


async def test_the_task_of_a_queued_message_belongs_to_its_sender(proxy, agent, one, two):
    await wait_for_state(proxy, await queue(one), MessageState.COMPLETED)
    (task_id,) = agent.task_ids

    assert await two.is_refused("tasks/get", id=task_id)
    assert not await one.is_refused("tasks/get", id=task_id)


async def test_the_first_owner_of_a_task_stays_its_owner(agent, one, two, admin):
    agent.task_id = "t"
    await one.start_task()
    await two.start_task()

    assert await two.is_refused("tasks/get", id="t")
    assert not await one.is_refused("tasks/get", id="t")


@pytest.mark.parametrize("method", ["tasks/list", "ListTasks"])
async def test_a_list_holds_the_tasks_of_the_caller_only(agent, one, two, admin, method):
    mine = [await one.start_task() for _ in range(2)]
    theirs = await two.start_task()

    own, all_ = (await one.call(method))["result"], (await admin.call(method))["result"]

    assert [task["id"] for task in own["tasks"]] == mine
    assert (own["totalSize"], own["pageSize"], own["nextPageToken"]) == (2, 50, "more")
    assert [task["id"] for task in all_["tasks"]] == [*mine, theirs]
    assert all_["totalSize"] == 3


async def test_a_list_that_cannot_be_filtered_is_not_passed_on(agent, one, admin):
    agent.lists_as = "stream"
    assert (await one.call("tasks/list"))["error"]["code"] == -32006
    assert (await admin.open_stream("tasks/list")).call_id

    agent.lists_as = "text"
    answer = await one.call("ListTasks")
    assert (answer["error"]["code"], answer["error"]["data"][0]["reason"]) == (-32006, "INVALID_AGENT_RESPONSE")
    agent.lists_as = "error"
    assert (await one.call("ListTasks"))["error"] == {"code": -32601, "message": "no lists"}


@pytest.mark.parametrize("id_", ["x" * 1001, 7, ["x"], "a\0b"], ids=["long", "number", "list", "NUL"])
async def test_an_id_that_no_task_can_have_is_refused(agent, one, id_):
    refused = (await one.request("tasks/get", id=id_)).refused

    assert refused.reason == "MALFORMED_MESSAGE"
    assert decode_details(refused)["error"]["code"] == -32602
    assert agent.methods == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tasks/pushNotificationConfig/set", {"taskId": "t", "pushNotificationConfig": {"url": "{}"}}),
        ("CreateTaskPushNotificationConfig", {"taskId": "t", "url": "{}"}),
        ("message/send", {"configuration": {"pushNotificationConfig": {"url": "{}"}}}),
        ("message/stream", {"configuration": {"push_notification_config": {"url": "{}"}}}),
        ("SendMessage", {"configuration": {"taskPushNotificationConfig": {"url": "{}"}}}),
    ],
)
@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("http://169.254.169.254/latest", True),
        ("file:///etc/passwd", True),
        ("http://no-such-name.invalid/", True),
        ("http://127.0.0.1:9/", False),
    ],
)
async def test_push_notification_addresses_are_judged_like_those_of_agents(
    agent, admin, method, params, url, is_refused
):
    asked = json.loads(json.dumps(params).replace("{}", url))
    if "configuration" in params:
        asked["message"] = build_message()

    frame = await admin.request(method, **asked)

    if is_refused:
        details = decode_details(frame.refused)
        assert (details["id"], details["error"]["code"]) == ("r-1", -32602)
        assert "push notification address" in details["error"]["message"]
    assert bool(agent.requests) is not is_refused


async def test_the_tasks_of_a_purged_workspace_are_erased(proxy, agent, one):
    await one.start_task()
    assert await count_tasks(proxy) == 1
    record = proxy.registry.records.pop(TARGET)
    record.status, record.revision = pb.WORKSPACE_STATUS_REMOVED, record.revision + 1

    proxy.registry.announce(record)

    async def is_erased() -> bool:
        return await count_tasks(proxy) == 0

    await eventually(is_erased)


async def count_tasks(proxy) -> int:
    (row,) = await execute(proxy.queue, sa.select(sa.func.count()).select_from(TASKS))
    return row[0]


@pytest.mark.parametrize("name", ["ID", "Id", "TaskId"])
async def test_no_other_spelling_of_a_member_leads_to_the_task_of_another(agent, one, two, name):
    theirs, mine = await one.start_task(), await two.start_task()

    refused = (await two.request("tasks/get", id=mine, **{name: theirs})).refused

    assert refused.reason == "MALFORMED_MESSAGE"
    assert decode_details(refused)["error"]["code"] == -32600
    assert "tasks/get" not in agent.methods


async def test_the_agent_receives_only_that_one_of_two_ids_which_the_plane_has_judged(agent, one, two):
    theirs, mine = await one.start_task(), await two.start_task()

    for first, second in ((theirs, mine), (mine, theirs)):
        body = '{{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{{"id":"{}","id":"{}"}}}}'
        await two.send(body.format(first, second).encode())

    asked = [sent for sent in agent.bodies if b"tasks/get" in sent]
    assert asked == [b'{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"%b"}}' % mine.encode()]
