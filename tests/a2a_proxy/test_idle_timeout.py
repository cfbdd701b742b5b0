"""Which events keep a dispatch alive, through the whole proxy."""

import asyncio

import pytest

from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc
from protos.registry.v1 import registry_pb2
from services.chassis import clients
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, CALLER, TARGET, decode_details, message_body
from tests.agents import SilentAgent, SlowAgent, serve_agent
from tests.waiting import eventually


@pytest.mark.covers("A2A-19", "A2A-21")
async def test_the_declared_idle_timeout_of_an_agent_is_used(proxy, gateway):
    async with serve_agent(SilentAgent()) as agent:
        proxy.registry.set_workspace(
            TARGET, address=agent.url, declarations=registry_pb2.Declarations(idle_timeout_seconds=1)
        )

        refused = (await gateway.send_message(message_body())).refused

        assert (refused.reason, decode_details(refused)) == ("AGENT_IDLE", {"idle_seconds": 1, "delivery": "unknown"})


@pytest.mark.covers("A2A-19")
async def test_heartbeats_of_the_target_keep_a_dispatch_alive(proxy, gateway):
    async with serve_agent(SlowAgent()) as agent:
        proxy.registry.set_workspace(
            TARGET, address=agent.url, declarations=registry_pb2.Declarations(idle_timeout_seconds=1)
        )
        await gateway.open(1, message_body())
        await agent.asked.wait()
        began = asyncio.get_running_loop().time()

        await eventually(
            lambda: proxy.registry.send_heartbeat(TARGET) or asyncio.get_running_loop().time() - began > 1.5
        )
        agent.go.set()

        assert (await gateway.next(1)).head.status == 200


async def keep_until(seconds: float, act) -> None:
    """Act again and again for this time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds

    async def act_once() -> bool:
        await act()
        return loop.time() >= end

    await eventually(act_once)


@pytest.mark.covers("A2A-19")
@pytest.mark.parametrize("request_of_agent", ["message", "activity"])
async def test_requests_of_the_target_keep_a_dispatch_alive(proxy, gateway, request_of_agent):
    target = Identity(kind=Kind.WORKSPACE, name=TARGET, generation=1)
    async with (
        serve_agent(SlowAgent()) as agent,
        clients.open_channel(proxy.address, caller_service="gateway") as channel,
    ):
        proxy.registry.set_workspace(
            TARGET, address=agent.url, declarations=registry_pb2.Declarations(idle_timeout_seconds=1)
        )
        proxy.registry.set_workspace(CALLER)
        await gateway.open(1, message_body())
        await agent.asked.wait()

        async def send_message() -> None:
            await gateway.send_message(message_body(), sender=target, target=CALLER)

        async def list_activity() -> None:
            stub = activity_pb2_grpc.ActivityServiceStub(channel.channel)
            request = activity_pb2.ListActivityRequest(workspace_id=TARGET)
            await channel.call(stub.ListActivity, request, on_behalf_of=target)

        await keep_until(1.5, send_message if request_of_agent == "message" else list_activity)
        agent.go.set()

        assert (await gateway.next(1)).head.status == 200


@pytest.mark.covers("A2A-19")
async def test_changes_by_the_plane_and_requests_of_others_do_not_keep_a_dispatch_alive(proxy, gateway):
    async with serve_agent(SilentAgent()) as agent:
        proxy.registry.set_workspace(
            TARGET, address=agent.url, declarations=registry_pb2.Declarations(idle_timeout_seconds=1)
        )
        proxy.registry.set_workspace(CALLER)
        await gateway.open(1, message_body())
        await agent.asked.wait()

        async def is_refused_during_changes() -> bool:
            proxy.registry.set_workspace(TARGET, monthly_spend=proxy.registry.revision)
            await gateway.send_message(message_body(), sender=A_WORKSPACE, target=CALLER)
            return gateway.count_frames(1) > 0

        await eventually(is_refused_during_changes)

        assert (await gateway.next(1)).refused.reason == "AGENT_IDLE"


@pytest.mark.covers("A2A-21")
async def test_an_idle_timeout_that_is_declared_during_a_dispatch_holds_for_it(proxy, gateway):
    async with serve_agent(SilentAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.open(1, message_body())
        await agent.asked.wait()

        proxy.registry.set_workspace(TARGET, declarations=registry_pb2.Declarations(idle_timeout_seconds=1))

        assert decode_details((await gateway.next(1)).refused)["idle_seconds"] == 1
