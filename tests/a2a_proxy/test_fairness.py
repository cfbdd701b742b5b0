"""No target takes more than its share of dispatches and of memory from the others."""

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.dispatches import DispatchesInProgress
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.timeouts import DispatchTimeout
from services.a2a_proxy.work import WorkTracker
from services.chassis import identity
from tests.a2a_proxy.fake_gateway import ADMIN, TARGET, decode_details, message_body, open_exchange
from tests.a2a_proxy.running_proxy import run_proxy
from tests.agents import EchoAgent, MisbehavingAgent, SlowAgent, serve_agent
from tests.waiting import eventually

MEBIBYTE = 1024 * 1024
OTHER = str(uuid4())


@asynccontextmanager
async def small_proxy(database_url: str, **settings):
    async with run_proxy(database_url, **settings) as proxy, open_exchange(proxy) as gateway:
        yield proxy, gateway


@pytest.mark.parametrize("method", ["message/send", "message/stream", "tasks/get"])
async def test_a_target_with_too_many_dispatches_is_busy_and_others_are_not(database_url, method):
    async with (
        small_proxy(database_url, max_dispatches_per_target=2) as (proxy, gateway),
        serve_agent(SlowAgent()) as agent,
        serve_agent(EchoAgent()) as other,
    ):
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=100)
        proxy.registry.set_workspace(OTHER, address=other.url)
        for call_id in (1, 2):
            await gateway.open(call_id, message_body(method))
        await eventually(lambda: len(agent.bodies) == 2)

        strict = {"prefer": "handling=strict"}
        refused = (await gateway.send_message(message_body(method), headers=strict)).refused

        assert refused.reason == "AGENT_BUSY"
        assert decode_details(refused) == {"busy": True, "retry_after": 30}
        assert refused.retry_in.seconds == 30
        assert len(agent.bodies) == 2
        await gateway.open(3, message_body(), target=OTHER)
        assert (await gateway.next(3)).head.status == 200

        agent.go.set()
        for call_id in (1, 2):
            assert (await gateway.next(call_id)).head.status == 200


async def test_an_ended_dispatch_makes_room_however_it_ended(database_url):
    async with small_proxy(database_url, max_dispatches_per_target=1) as (proxy, gateway):
        async with serve_agent(EchoAgent()) as agent:
            proxy.registry.set_workspace(TARGET, address=agent.url)
            for call_id, method in enumerate(["message/send", "message/stream"] * 3):
                await gateway.open(call_id, message_body(method))
                assert (await gateway.next(call_id)).head.status == 200
                if method == "message/stream":
                    await eventually_ended(gateway, call_id)
        proxy.registry.set_workspace(OTHER, address="http://127.0.0.1:1/", external=True)
        for call_id in (10, 11):
            await gateway.open(call_id, message_body(), target=OTHER)
            assert (await gateway.next(call_id)).refused.reason == "AGENT_UNREACHABLE"


async def eventually_ended(gateway, call_id: int) -> None:
    while not (await gateway.next(call_id)).HasField("end"):
        pass


async def test_workspaces_at_one_address_share_its_limit():
    loop = asyncio.get_running_loop()
    dispatches = DispatchesInProgress(max_per_target=2, work=WorkTracker())
    started = [DispatchTimeout(idle=None, deadline=None, get_hearing_start=loop.time) for _ in range(2)]
    for number, dispatch_timeout in enumerate(started):
        dispatches.add(WorkspaceId(str(number)), "http://one/", dispatch_timeout)

    assert not dispatches.has_room(WorkspaceId("new"), "http://one/")
    assert dispatches.has_room(WorkspaceId("new"), "http://two/")

    dispatches.remove(WorkspaceId("0"), "http://one/", started[0])
    assert dispatches.has_room(WorkspaceId("new"), "http://one/")
    dispatches.remove(WorkspaceId("1"), "http://one/", started[1])
    assert dispatches.is_empty


# Large messages ──────────────────────────────────────────────────────────────


def large_body(size: int, **fields: str) -> bytes:
    body = json.loads(message_body(**fields))
    body["params"]["message"]["parts"][0]["text"] = "x" * (size - len(message_body()))
    return json.dumps(body).encode()


def announce(call_id: int, size: int, *, target: str = TARGET) -> pb.CallFrame:
    opening = pb.CallOpen(identity=identity.to_wire(ADMIN), workspace_id=target, body_bytes=size)
    return pb.CallFrame(call_id=call_id, open=opening)


async def test_a_large_message_is_admitted_before_its_body_is_sent(database_url):
    async with small_proxy(database_url) as (proxy, gateway), serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        body = large_body(MEBIBYTE)

        await gateway.send(announce(1, len(body)))
        assert (await gateway.next(1)).HasField("admitted")
        await gateway.send(pb.CallFrame(call_id=1, body=body))

        assert (await gateway.next(1)).head.status == 200
        assert agent.bodies == [body]


async def test_large_messages_beyond_the_budget_wait_in_their_order_and_small_ones_do_not(database_url):
    async with (
        small_proxy(database_url, max_large_body_megabytes=10) as (proxy, gateway),
        serve_agent(SlowAgent()) as agent,
        serve_agent(EchoAgent()) as quick,
    ):
        proxy.registry.set_workspace(TARGET, address=agent.url)
        proxy.registry.set_workspace(OTHER, address=quick.url)
        body = large_body(6 * MEBIBYTE)
        await gateway.send(announce(1, len(body)))
        assert (await gateway.next(1)).HasField("admitted")
        await gateway.send(pb.CallFrame(call_id=1, body=body))
        await agent.asked.wait()

        await gateway.send(announce(2, len(body), target=OTHER), announce(3, len(body), target=OTHER))
        await gateway.open(4, message_body(), target=OTHER)
        assert (await gateway.next(4)).head.status == 200
        assert gateway.count_frames(2) == gateway.count_frames(3) == 0

        agent.go.set()
        assert (await gateway.next(1)).head.status == 200
        for call_id in (2, 3):
            assert (await gateway.next(call_id)).HasField("admitted")
            assert gateway.count_frames(3) == 0 or call_id == 3
            await gateway.send(pb.CallFrame(call_id=call_id, body=body))
            assert (await gateway.next(call_id)).head.status == 200


async def test_a_stream_about_a_stored_message_does_not_keep_its_large_request(database_url):
    async with small_proxy(database_url, max_large_body_megabytes=10) as (proxy, gateway):
        proxy.registry.set_workspace(TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
        for call_id in (1, 2, 3):
            body = large_body(6 * MEBIBYTE, method="message/stream", message_id=f"m-{call_id}")
            await gateway.send(announce(call_id, len(body)))
            assert (await gateway.next(call_id)).HasField("admitted")
            await gateway.send(pb.CallFrame(call_id=call_id, body=body))

            assert (await gateway.next(call_id)).head.status == 200
            assert b"submitted" in (await gateway.next(call_id)).chunk
        for call_id in (1, 2, 3):  # the streams go on: nothing but a sign of life may have come
            while gateway.count_frames(call_id):
                assert (await gateway.next(call_id)).chunk.startswith(b":")


async def test_a_caller_that_leaves_instead_of_sending_its_body_returns_the_room(database_url):
    async with (
        small_proxy(database_url, max_large_body_megabytes=10) as (proxy, gateway),
        serve_agent(EchoAgent()) as agent,
    ):
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.send(announce(1, 10 * MEBIBYTE))
        assert (await gateway.next(1)).HasField("admitted")
        await gateway.send(announce(2, 10 * MEBIBYTE))

        await gateway.send(pb.CallFrame(call_id=1, cancel=pb.CallCancel()))

        assert (await gateway.next(2)).HasField("admitted")
        assert agent.bodies == []


async def test_large_answers_wait_for_room_and_all_arrive(database_url):
    answer = MisbehavingAgent(status=200, text="x" * (9 * MEBIBYTE), headers={"Content-Type": "application/json"})
    async with (
        small_proxy(database_url, max_large_body_megabytes=10) as (proxy, gateway),
        serve_agent(answer) as agent,
    ):
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=100)
        for call_id in range(4):
            await gateway.open(call_id, message_body())

        for call_id in range(4):
            head = (await gateway.next(call_id)).head
            assert (head.status, len(head.body)) == (200, 9 * MEBIBYTE)
