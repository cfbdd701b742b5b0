"""Push notifications from agents to receivers, through the whole proxy and the route of the gateway."""

import json

import pytest
import sqlalchemy as sa

from protos.registry.v1.registry_pb2 import AgentInterface
from services.a2a_proxy.push.tables import PUSH_NOTIFICATIONS, PUSH_TARGETS
from services.chassis.settings import Mode
from tests.a2a_proxy.fake_gateway import ADMIN, TARGET
from tests.a2a_proxy.push.conftest import PushPlane, run_plane
from tests.a2a_proxy.push.push_agents import LegacyPushAgent, Receiver, serve_receiver, serve_sdk_agent
from tests.a2a_proxy.running_proxy import run_replica
from tests.a2a_proxy.tasks.task_agent import Caller, EventStream, build_message
from tests.agents import serve_agent
from tests.waiting import eventually

CREDENTIALS = {"token": "the token", "authentication": {"schemes": ["Bearer"], "credentials": "the credentials"}}


@pytest.fixture
async def agent(plane: PushPlane):
    async with serve_agent(LegacyPushAgent()) as agent:
        offer(plane, agent.url, "0.3")
        yield agent


def offer(plane: PushPlane, url: str, version: str, **fields) -> None:
    interface = AgentInterface(url=url, binding="JSONRPC", version=version)
    plane.proxy.registry.set_workspace(TARGET, address=url, interfaces=[interface], **fields)


async def start(caller: Caller, receiver: Receiver, **config) -> str:
    """Send a message with a config in 0.3; returns the id of its task."""
    configuration = {"pushNotificationConfig": {"url": receiver.url, **config}}
    sent = await caller.call("message/send", message=build_message(), configuration=configuration)
    return sent["result"]["id"]


async def count(plane: PushPlane, table: sa.Table) -> int:
    async with plane.proxy.store.begin() as tx:
        return await tx.connection.scalar(sa.select(sa.func.count()).select_from(table))


async def test_a_caller_of_0_3_receives_tasks_with_its_credentials_and_the_agent_learns_none_of_them(
    plane, agent, receiver
):
    task_id = await start(plane.caller, receiver, id="mine", **CREDENTIALS)
    config = agent.configs[task_id]

    assert await agent.post(task_id) == 202
    await eventually(lambda: receiver.received)

    assert config.keys() == {"id", "url"}
    assert config["url"].startswith(f"{plane.url}/a2a/push/")
    assert b"the token" not in agent.bodies[0]
    assert b"credentials" not in agent.bodies[0]
    assert receiver.received == [agent.build_task(task_id, "completed")]
    headers = receiver.requests[0].headers
    assert headers["X-A2A-Notification-Token"] == "the token"
    assert headers["Authorization"] == "Bearer the credentials"
    assert headers["Content-Type"] == "application/json"
    assert receiver.requests[0].query_string == "x=1"
    assert await eventually(lambda: no_rows(plane))


async def no_rows(plane: PushPlane) -> bool:
    return await count(plane, PUSH_NOTIFICATIONS) == 0


async def test_callers_see_their_own_configs_in_the_form_of_their_version(plane, agent, receiver):
    task_id = await plane.caller.start_task()
    config = {"id": "c", "url": receiver.url, **CREDENTIALS}

    made = await plane.caller.call("tasks/pushNotificationConfig/set", taskId=task_id, pushNotificationConfig=config)
    read = await plane.caller.call("tasks/pushNotificationConfig/get", id=task_id)
    listed = await plane.caller.call("tasks/pushNotificationConfig/list", id=task_id)
    current = await plane.caller.call("ListTaskPushNotificationConfigs", taskId=task_id)

    shown = {"taskId": task_id, "pushNotificationConfig": config}
    assert made["result"] == read["result"] == shown
    assert listed["result"] == [shown]
    [flat] = current["result"]["configs"]
    assert flat == {
        "taskId": task_id,
        "id": "c",
        "url": receiver.url,
        "token": "the token",
        "authentication": {"scheme": "Bearer", "credentials": "the credentials"},
    }
    assert plane.url in agent.configs[task_id]["url"]


async def test_the_config_of_another_caller_is_not_shown_whatever_the_agent_answers(plane, agent, receiver):
    theirs = await start(Caller(plane.gateway, ADMIN), receiver, **CREDENTIALS)
    mine = await start(plane.caller, receiver)
    agent.shown_task = theirs

    read = await plane.caller.call("tasks/pushNotificationConfig/get", id=mine)
    listed = await plane.caller.call("ListTaskPushNotificationConfigs", taskId=mine)

    assert read["result"]["pushNotificationConfig"] == {"url": ""}
    assert [config["url"] for config in listed["result"]["configs"]] == [""]
    for secret in ("the token", "the credentials", receiver.url, agent.configs[theirs]["url"]):
        assert secret not in json.dumps([read, listed])


async def test_a_config_that_is_deleted_or_replaced_receives_nothing_any_more(plane, agent, receiver):
    task_id = await start(plane.caller, receiver)
    first = agent.configs[task_id]["url"]
    config = {"url": receiver.url}
    await plane.caller.call("tasks/pushNotificationConfig/set", taskId=task_id, pushNotificationConfig=config)
    second = agent.configs[task_id]["url"]

    assert await agent.post(task_id, address=first) == 404
    assert await agent.post(task_id, address=second) == 202
    await plane.caller.call("tasks/pushNotificationConfig/delete", id=task_id, pushNotificationConfigId=task_id)
    assert await agent.post(task_id, address=second) == 404
    assert await count(plane, PUSH_TARGETS) == 0


@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_an_agent_of_the_official_sdk_notifies_receivers_of_both_versions(plane, receiver, version):
    async with serve_sdk_agent() as url:
        offer(plane, url, "1.0")
        config = {"url": receiver.url, "token": "t"}
        if version == "1.0":
            configuration = {"taskPushNotificationConfig": config, "returnImmediately": True}
            message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
            await plane.caller.call("SendMessage", message=message, configuration=configuration)
        else:
            await start(plane.caller, receiver, token="t")

        await eventually(lambda: receiver.received and is_completed(receiver.received[-1]))

    assert {request.headers["X-A2A-Notification-Token"] for request in receiver.requests} == {"t"}
    if version == "1.0":
        states = [body.get("statusUpdate", {}).get("status", {}).get("state") for body in receiver.received]
        assert states.index("TASK_STATE_WORKING") < states.index("TASK_STATE_COMPLETED")
        assert any("artifactUpdate" in body for body in receiver.received)
    else:
        assert {body["kind"] for body in receiver.received} == {"task"}
        [artifact] = receiver.received[-1]["artifacts"]
        assert artifact["parts"] == [{"kind": "text", "text": "hi"}]


async def test_a_caller_reads_the_config_of_a_streamed_message_and_is_notified(plane, receiver):
    async with serve_sdk_agent() as url:
        offer(plane, url, "1.0")
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
        configuration = {"taskPushNotificationConfig": {"url": receiver.url}}
        request = {"message": message, "configuration": configuration}
        body = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": request}
        call_id = await plane.caller.open(json.dumps(body).encode())
        assert (await plane.gateway.next(call_id)).head.status == 200
        events = await EventStream(plane.gateway, call_id).read()
        read = await plane.caller.call("ListTaskPushNotificationConfigs", taskId=events[0]["task"]["id"])

        await eventually(lambda: receiver.received and is_completed(receiver.received[-1]))

    assert [config["url"] for config in read["result"]["configs"]] == [receiver.url]
    assert {find_task_id(body) for body in receiver.received} == {events[0]["task"]["id"]}


def find_task_id(body: dict) -> str:
    return body["task"]["id"] if "task" in body else (body.get("statusUpdate") or body["artifactUpdate"])["taskId"]


def is_completed(body: dict) -> bool:
    status = (body.get("statusUpdate") or body.get("task") or body).get("status", {})
    return status.get("state") in {"completed", "TASK_STATE_COMPLETED"}


async def test_a_caller_of_1_0_receives_the_bare_task_of_an_agent_of_0_3_as_an_event(plane, agent, receiver):
    authentication = {"scheme": "Basic", "credentials": "dTpw"}
    config = {"url": receiver.url, "authentication": authentication}
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
    configuration = {"taskPushNotificationConfig": config}
    sent = await plane.caller.call("SendMessage", message=message, configuration=configuration)
    task_id = sent["result"]["task"]["id"]

    assert await agent.post(task_id) == 202
    await eventually(lambda: receiver.received)

    [body] = receiver.received
    assert (body["task"]["id"], body["task"]["status"]["state"]) == (task_id, "TASK_STATE_COMPLETED")
    assert receiver.requests[0].headers["Authorization"] == "Basic dTpw"


async def test_a_caller_whose_requests_are_converted_receives_the_version_that_the_gateway_names(
    plane, agent, receiver
):
    headers = {"x-molecule-notifications": "0.3", "a2a-version": "1.0"}
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
    configuration = {"taskPushNotificationConfig": {"url": receiver.url}}
    sent = await plane.caller.call("SendMessage", headers=headers, message=message, configuration=configuration)

    await agent.post(sent["result"]["task"]["id"])
    await eventually(lambda: receiver.received)

    assert receiver.received[0]["kind"] == "task"
    assert "x-molecule-notifications" not in agent.requests[0].headers


async def test_a_receiver_that_comes_back_gets_everything_in_order(plane, agent, receiver):
    receiver.statuses = [503, 404]
    task_id = await start(plane.caller, receiver)

    for state in ("submitted", "working", "completed"):
        assert await agent.post(task_id, agent.build_task(task_id, state)) == 202
    await eventually(lambda: len(receiver.received) == 3)

    assert [body["status"]["state"] for body in receiver.received] == ["submitted", "working", "completed"]
    assert receiver.attempts == 5


@pytest.mark.parametrize("status", [307, 400, 410])
async def test_a_final_refusal_is_not_repeated_and_no_redirect_is_followed(plane, agent, receiver, status):
    async with serve_receiver(Receiver()) as elsewhere:
        receiver.statuses, receiver.headers = [status], {"Location": elsewhere.url}
        task_id = await start(plane.caller, receiver)

        await agent.post(task_id)
        await eventually(lambda: receiver.attempts and no_rows(plane))

        assert (receiver.attempts, elsewhere.attempts) == (1, 0)


async def test_another_replica_sends_what_a_stopped_one_has_stored(plane, agent, receiver):
    receiver.statuses = [503]
    task_id = await start(plane.caller, receiver)
    await agent.post(task_id)
    await eventually(lambda: has_failed(plane))
    plane.proxy.stop.set()
    await plane.proxy.stopped.wait()
    assert receiver.received == []

    async with run_replica(plane.proxy):
        await eventually(lambda: receiver.received)

    assert receiver.received == [agent.build_task(task_id, "completed")]


async def has_failed(plane: PushPlane) -> bool:
    async with plane.proxy.store.begin() as tx:
        return bool(await tx.connection.scalar(sa.select(PUSH_TARGETS.c.failures)))


async def test_a_receiver_of_0_3_gets_the_whole_task_or_else_its_status(plane, agent, receiver):
    task_id = await start(plane.caller, receiver)
    ids = {"taskId": task_id, "contextId": "c"}
    status = {"statusUpdate": {**ids, "status": {"state": "TASK_STATE_WORKING"}}}
    artifact = {"artifactUpdate": {**ids, "artifact": {"artifactId": "a", "parts": [{"text": "part"}]}}}

    await agent.post(task_id, artifact)
    await eventually(lambda: len(receiver.received) == 1)
    agent.refuses = True
    for body in (artifact, status):
        assert await agent.post(task_id, body) == 202
    await eventually(lambda: len(receiver.received) == 2)

    whole, alone = receiver.received
    assert whole == agent.build_task(task_id, "completed")
    assert alone == {"kind": "task", "id": task_id, "contextId": "c", "status": {"state": "working"}}


async def test_an_address_that_has_become_a_private_one_receives_nothing(plane, agent, receiver):
    receiver.statuses = [503]
    task_id = await start(plane.caller, receiver)
    await agent.post(task_id)
    await eventually(lambda: has_failed(plane))
    plane.proxy.stop.set()
    await plane.proxy.stopped.wait()

    async with run_replica(plane.proxy, mode=Mode.PRODUCTION):
        await eventually(lambda: no_rows(plane))

    assert receiver.attempts == 1


async def test_an_agent_cannot_notify_about_the_task_of_another_caller(plane, agent, receiver):
    other = Caller(plane.gateway, ADMIN)
    theirs = await other.start_task()
    mine = await start(plane.caller, receiver)
    address = agent.configs[mine]["url"]

    assert await agent.post(theirs, address=address) == 400
    assert await agent.post(mine, address=address) == 202
    await eventually(lambda: receiver.received)
    assert [body["id"] for body in receiver.received] == [mine]


async def test_unknown_secrets_and_hostile_bodies_are_refused(plane, agent, receiver):
    task_id = await start(plane.caller, receiver)
    address = agent.configs[task_id]["url"]
    unknown = f"{plane.url}/a2a/push/{'A' * 43}"

    for body in (b"", b"[", b"[]", b"7", b"{}", b"[" * 5000, b'{"kind":"task","id":7}', b'{"id":"a\\u0000b"}'):
        assert await agent.post(task_id, body, address=address) == 400, body
    assert await agent.post(task_id, b"x" * (1024 * 1024 + 1), address=address) == 413
    for bad in (unknown, unknown[:-1], f"{plane.url}/a2a/push/%00", f"{plane.url}/a2a/push/%F0%9F%92%A9"):
        assert await agent.post(task_id, b"x" * 20_000, address=bad) in {400, 404}, bad
    assert await agent.post(task_id, address=unknown) == 404
    assert receiver.attempts == 0


@pytest.mark.parametrize(
    "config",
    [
        {"token": "a\r\nX-Other: b"},
        {"token": "é"},
        {"token": 7},
        {"authentication": {"schemes": ["Bearer x"], "credentials": "c"}},
        {"authentication": {"schemes": ["Bearer"], "credentials": "a\nb"}},
        {"token": "t" * 17_000},
    ],
)
async def test_credentials_that_no_header_can_carry_are_refused(plane, agent, receiver, config):
    answer = await plane.caller.call(
        "message/send",
        message=build_message(),
        configuration={"pushNotificationConfig": {"url": receiver.url, **config}},
    )

    assert answer["error"]["code"] == -32602
    assert agent.bodies == []
    assert await count(plane, PUSH_TARGETS) == 0


async def test_an_agent_without_push_notifications_answers_for_itself_and_nothing_stays(plane, agent, receiver):
    agent.refuses = True

    answer = await plane.caller.call(
        "tasks/pushNotificationConfig/set",
        taskId=(await known_task(plane, agent)),
        pushNotificationConfig={"url": receiver.url},
    )

    assert answer["error"]["code"] == -32003
    assert await count(plane, PUSH_TARGETS) == 0


async def test_a_message_that_the_agent_refuses_changes_nothing(plane, agent, receiver):
    task_id = await start(plane.caller, receiver)
    agent.refuses = True

    configuration = {"pushNotificationConfig": {"url": receiver.url}}
    await plane.caller.call("message/send", message=build_message(taskId=task_id), configuration=configuration)

    assert await agent.post(task_id) == 202
    assert await count(plane, PUSH_TARGETS) == 1


async def test_a_message_that_does_not_reach_its_agent_leaves_no_target(plane, receiver):
    offer(plane, "http://127.0.0.1:9/", "0.3")
    configuration = {"pushNotificationConfig": {"url": receiver.url}}

    strict = {"prefer": "handling=strict"}  # not queued
    frame = await plane.caller.request(
        "message/send", headers=strict, message=build_message(), configuration=configuration
    )

    assert frame.HasField("refused")
    assert await count(plane, PUSH_TARGETS) == 0


async def known_task(plane: PushPlane, agent: LegacyPushAgent) -> str:
    agent.refuses = False
    task_id = await plane.caller.start_task()
    agent.refuses = True
    return task_id


async def test_neither_addresses_nor_credentials_can_be_read_from_the_database(plane, agent, receiver):
    await start(plane.caller, receiver, **CREDENTIALS)

    async with plane.proxy.store.begin() as tx:
        [row] = (await tx.connection.execute(sa.select(PUSH_TARGETS))).all()

    stored = repr(tuple(row))
    for secret in ("the token", "the credentials", receiver.url, agent.configs["task-1"]["url"].rpartition("/")[2]):
        assert secret not in stored


async def test_external_agents_send_to_the_public_url(database_url, receiver):
    async with (
        run_plane(database_url, external_platform_url="https://plane.example/") as plane,
        serve_agent(LegacyPushAgent()) as agent,
    ):
        offer(plane, agent.url, "0.3", external=True)
        task_id = await start(plane.caller, receiver)

    assert agent.configs[task_id]["url"].startswith("https://plane.example/a2a/push/")


async def test_a_queued_message_takes_its_config_through_the_plane(plane, agent, receiver):
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "message/send",
        "params": {
            "message": build_message(),
            "configuration": {"pushNotificationConfig": {"url": receiver.url}},
        },
    }
    await plane.caller.send(json.dumps(body).encode(), headers={"prefer": "respond-async"})
    await eventually(lambda: agent.configs)

    assert await agent.post("task-1") == 202
    await eventually(lambda: receiver.received)
