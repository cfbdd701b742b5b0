"""Streams go on without their callers, and are resumed on any replica."""

import asyncio
import json
import random
from uuid import uuid4

import pytest
import sqlalchemy as sa

from protos.provisioner.v1 import provisioner_pb2
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.streams.event_ids import build_stream_id
from services.a2a_proxy.streams.tables import STREAMS
from tests.a2a_proxy.fake_gateway import TARGET, decode_details, message_body, open_exchange
from tests.a2a_proxy.running_proxy import run_replica
from tests.a2a_proxy.streams.stream_agent import StreamAgent, StreamClient
from tests.a2a_proxy.tasks.task_agent import workspace
from tests.agents import serve_agent
from tests.waiting import eventually

GONE = ("STREAM_EVENTS_GONE", "stream events no longer available")


@pytest.fixture
async def agent(proxy):
    async with serve_agent(StreamAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=8)
        yield agent


async def execute(proxy, statement):
    async with proxy.store.begin() as tx:
        return await tx.connection.execute(statement)


async def find_ending(proxy) -> str | None:
    return (await execute(proxy, sa.select(STREAMS.c.ending))).scalar_one()


@pytest.mark.covers("BEY-02")
async def test_a_stream_that_is_cut_twenty_times_joins_to_the_same_text(proxy, gateway, agent):
    agent.events, agent.pauses = 1000, frozenset(range(50, 1000, 50))
    cuts = random.Random(7).sample(range(1, 1000), 20)  # noqa: S311 - a seeded choice
    async with run_replica(proxy) as replica, open_exchange(replica) as other:
        client = StreamClient(gateway)
        await client.open()
        agent.go.set()
        for place, cut in enumerate(sorted(cuts)):
            await client.read(cut - len(client.events))
            await client.cut()
            assert (await client.resume((other, gateway)[place % 2])).head.status == 200
        await client.read()

    assert client.text == "".join(f"{number} " for number in range(1000))
    assert client.events[-1][1]["result"]["status"] == {"state": "completed"}
    assert len({id_ for id_, _ in client.events}) == 1002
    assert agent.methods == ["message/stream"]
    assert client.end.HasField("end")
    assert not client.end.end.interrupted


@pytest.mark.covers("BEY-02")
async def test_a_resumed_caller_of_another_replica_receives_what_comes_later(proxy, gateway, agent):
    agent.pauses = frozenset({1})
    async with run_replica(proxy) as replica, open_exchange(replica) as other:
        client = StreamClient(gateway)
        await client.open()
        await client.read(2)
        await client.resume(other)
        agent.go.set()
        await client.read()

    assert client.text == "0 1 2 "


@pytest.mark.covers("BEY-02")
async def test_a_caller_that_leaves_changes_nothing_for_the_task(proxy, gateway, agent):
    agent.pauses = frozenset({1})
    client = StreamClient(gateway)
    await client.open()
    await client.read(2)
    await client.cut()
    agent.go.set()

    assert await eventually(lambda: agent.is_done)
    await client.resume()
    await client.read()
    assert client.text == "0 1 2 "


@pytest.mark.covers("BEY-02")
@pytest.mark.parametrize("place", ["unknown", "beyond the end", "dropped", "another caller", "lost"])
async def test_events_that_are_not_kept_are_gone(proxy, gateway, agent, place):
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    stream_id = client.events[0][0].partition(":")[0]
    assert await eventually(lambda: find_ending(proxy))
    wanted = f"{stream_id}:2"
    match place:
        case "unknown":
            wanted = f"{build_stream_id(TARGET, bytes(12))}:1"
        case "beyond the end":
            wanted = f"{stream_id}:6"
        case "dropped":
            await execute(proxy, sa.update(STREAMS).values(first_seq=4))
        case "another caller":
            caller = str(uuid4())
            proxy.registry.set_workspace(caller)
            client.identity = workspace(caller)
        case "lost":
            await execute(proxy, sa.update(STREAMS).values(ending="incomplete"))

    refused = (await client.open(last_event_id=wanted)).refused

    assert (refused.reason, refused.message) == GONE
    assert agent.methods == ["message/stream"]


@pytest.mark.parametrize("last_event_id", ["own-2", "7", "3f1c2b6a-0d5e-4c7b-9a3e-5b8d2f4c6e10:1", ""])
async def test_an_id_that_the_plane_did_not_give_goes_to_the_agent(gateway, agent, last_event_id):
    client = StreamClient(gateway)
    await client.open(last_event_id=last_event_id)
    await client.read()

    assert agent.last_event_ids == [last_event_id]


async def test_the_ids_of_the_agent_stay(gateway, agent):
    agent.own_ids = True
    client = StreamClient(gateway)
    await client.open()
    await client.read()

    assert [id_ for id_, _ in client.events] == ["own-0", "own-0", "own-1", "own-2", "own-0"]


async def test_a_caller_of_the_other_dialect_cannot_resume(gateway, agent):
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    client.method = "SendStreamingMessage"

    refused = (await client.resume()).refused

    assert refused.reason == "MALFORMED_MESSAGE"
    assert decode_details(refused)["error"]["code"] == -32602


async def test_a_resumed_stream_answers_the_request_that_resumed_it(gateway, agent):
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    id_ = client.events[0][0]
    body = message_body("message/stream").replace(b'"id": 7', b'"id": "other"')

    await client.open(last_event_id=id_, body=body)
    found = await client.read()

    assert {event["id"] for event in found} == {"other"}
    assert client.events[-1][0] == f"{id_.partition(':')[0]}:5"


def subscribe(method: str = "tasks/resubscribe", task_id: str = "t-1") -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": "s", "method": method, "params": {"id": task_id}}).encode()


@pytest.mark.covers("BEY-02")
@pytest.mark.parametrize("fault", ["refusal", "offline", "unreachable"])
async def test_a_subscription_that_the_agent_cannot_serve_gets_the_recording(proxy, gateway, agent, fault):
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    assert await eventually(lambda: find_ending(proxy))
    if fault == "refusal":
        agent.refusal = {"code": -32001, "message": "gone"}
    else:
        changes = {"offline": {"status": registry_pb2.WORKSPACE_STATUS_OFFLINE}}
        proxy.registry.set_workspace(TARGET, **changes.get(fault, {"address": "http://127.0.0.1:9/"}))

        async def is_away() -> bool:
            return (await gateway.send_message(message_body("tasks/get"))).HasField("refused")

        assert await eventually(is_away)
    again = StreamClient(gateway)

    assert (await again.open(body=subscribe())).head.status == 200
    await again.read()

    assert (again.text, {data["id"] for _, data in again.events}) == ("0 1 2 ", {"s"})
    assert [id_ for id_, _ in again.events] == [id_ for id_, _ in client.events]


async def test_a_subscription_that_the_agent_serves_is_a_stream_of_its_own(gateway, agent):
    client = StreamClient(gateway)
    await client.open()
    await client.read()

    await client.open(body=subscribe())
    await client.read()

    assert agent.methods == ["message/stream", "tasks/resubscribe"]
    assert len({id_.partition(":")[0] for id_, _ in client.events}) == 2


@pytest.mark.covers("BEY-02")
async def test_the_task_of_an_agent_that_is_gone_fails(proxy, gateway, agent):
    agent.breaks_before = 2
    proxy.provisioner.condition = provisioner_pb2.INSTANCE_CONDITION_GONE
    client = StreamClient(gateway)
    await client.open()
    await client.read()

    update = client.events[-1][1]
    assert client.text == "0 1 "
    assert update["id"] == 7
    assert (update["result"]["kind"], update["result"]["taskId"], update["result"]["final"]) == (
        "status-update",
        "t-1",
        True,
    )
    assert update["result"]["status"]["state"] == "failed"
    assert "agent ended" in update["result"]["status"]["message"]["parts"][0]["text"]
    assert not client.end.end.interrupted

    again = StreamClient(gateway)
    await again.open(last_event_id=client.events[-2][0])
    assert await again.read() == [update]


async def test_the_stream_of_an_agent_that_may_live_is_interrupted(proxy, gateway, agent):
    agent.breaks_before = 1
    proxy.provisioner.condition = provisioner_pb2.INSTANCE_CONDITION_UNKNOWN
    client = StreamClient(gateway)
    await client.open()
    await client.read()

    assert (client.text, client.end.end.interrupted) == ("0 ", True)
    await client.open(last_event_id=client.events[0][0])
    assert len(await client.read()) == 1
    assert client.end.end.interrupted


@pytest.mark.covers("BEY-02")
async def test_the_recordings_of_a_proxy_that_stops_are_ended(proxy, agent, gateway):
    agent.pauses = frozenset({1})
    async with run_replica(proxy) as replica, open_exchange(replica) as dying:
        client = StreamClient(dying)
        await client.open()
        await client.read(2)
        follower = StreamClient(gateway)
        await follower.open(last_event_id=client.events[0][0])
        await follower.read(1)
        await client.cut()
        replica.stop.set()
        await asyncio.wait_for(replica.stopped.wait(), 15)

        await follower.read()

    agent.go.set()
    assert follower.end.end.interrupted


async def test_a_deadline_ends_a_resumed_stream(gateway, agent):
    agent.pauses = frozenset({1})
    client = StreamClient(gateway)
    await client.open()
    await client.read(2)
    await client.open(last_event_id=client.events[0][0], timeout="1")
    await client.read()

    assert (client.text, client.end.end.interrupted) == ("0 0 ", True)
    agent.go.set()


@pytest.mark.parametrize("code", [-32001, -32601, -32004])
async def test_an_agent_that_refuses_a_subscription_by_an_event_gets_it_replaced_too(proxy, gateway, agent, code):
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    assert await eventually(lambda: find_ending(proxy))
    agent.refusal, agent.refuses_by_event = {"code": code, "message": "gone"}, True

    await client.open(body=subscribe())
    await client.read()

    assert client.text == "0 1 2 " * 2


async def test_an_agent_that_streams_another_error_is_passed_on(proxy, gateway, agent):
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    assert await eventually(lambda: find_ending(proxy))
    agent.refusal, agent.refuses_by_event = {"code": -32603, "message": "broken"}, True

    await client.open(body=subscribe())
    (answer,) = await client.read()

    assert answer["error"] == agent.refusal


async def test_a_subscription_of_1_0_begins_with_the_task(proxy, gateway, agent):
    agent.shows_task = False
    client = StreamClient(gateway, method="SendStreamingMessage")
    await client.open()
    await client.read()
    assert await eventually(lambda: find_ending(proxy))
    agent.refusal = {"code": -32004, "message": "ended"}

    await client.open(body=subscribe("SubscribeToTask"))
    first, *others = await client.read()

    assert first["result"]["task"]["id"] == "t-1"
    assert len(others) == 4
