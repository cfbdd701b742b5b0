"""X-Timeout bounds the whole wait of a caller, whatever the message waits for."""

import asyncio

import pytest

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis import identity
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, ADMIN, CALLER, TARGET, decode_details, message_body, open_exchange
from tests.a2a_proxy.running_proxy import run_proxy
from tests.agents import EchoAgent, SilentAgent, SlowAgent, list_possible_deliveries, serve_agent
from tests.waiting import eventually

NOT_SENT = {"timeout_seconds": 1, "delivery": "not_sent"}
MINUTES_30 = 30 * 60
HOUR = 60 * 60

LEFT_MICROS = 300_000
"""What is left of the time of a call when the proxy receives it."""


async def expect_deadline(gateway, call_id: int) -> dict:
    """Return the details of the refusal of a call whose deadline has passed."""
    refused = (await gateway.next(call_id)).refused
    assert refused.reason == "CALL_DEADLINE_EXCEEDED"
    return decode_details(refused)


@pytest.mark.covers("A2A-18")
async def test_the_look_up_of_a_secret_counts_and_the_message_is_not_sent_afterwards(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        proxy.auth.may_answer.clear()
        began = asyncio.get_running_loop().time()

        await gateway.open(1, message_body(), timeout="1")

        assert await expect_deadline(gateway, 1) == NOT_SENT
        assert asyncio.get_running_loop().time() - began >= 1
        proxy.auth.may_answer.set()
        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert (row.status, row.error_detail) == ("error", "request deadline exceeded")
        assert agent.bodies == []


async def test_the_look_up_of_a_route_counts(proxy, gateway):
    proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")
    proxy.registry.set_workspace(CALLER)
    proxy.registry.may_answer.clear()

    await gateway.open(1, message_body(), sender=A_WORKSPACE, timeout="1")

    assert await expect_deadline(gateway, 1) == NOT_SENT
    proxy.registry.may_answer.set()


@pytest.mark.covers("A2A-18")
async def test_waiting_for_the_memory_of_a_large_message_counts(database_url):
    async with (
        run_proxy(database_url, max_large_body_megabytes=10) as proxy,
        open_exchange(proxy) as gateway,
    ):
        for call_id, timeout in ((1, ""), (2, "1")):
            opening = pb.CallOpen(
                identity=identity.to_wire(ADMIN), workspace_id=TARGET, body_bytes=10 * 2**20, timeout=timeout
            )
            await gateway.send(pb.CallFrame(call_id=call_id, open=opening))

        assert (await gateway.next(1)).HasField("admitted")
        assert await expect_deadline(gateway, 2) == NOT_SENT


@pytest.mark.parametrize("elapsed", [1_000_000, 5_000_000])
async def test_a_message_whose_deadline_passed_before_the_proxy_received_it_is_not_sent(proxy, gateway, elapsed):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        await gateway.open(1, message_body(), timeout="1", elapsed_micros=elapsed)

        assert await expect_deadline(gateway, 1) == NOT_SENT
        assert agent.bodies == []


async def test_the_time_before_the_proxy_received_a_message_counts(proxy, gateway):
    async with serve_agent(SilentAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        await gateway.open(1, message_body(), timeout=str(HOUR), elapsed_micros=HOUR * 1_000_000 - LEFT_MICROS)

        details = await expect_deadline(gateway, 1)
        assert details.pop("delivery") in list_possible_deliveries(agent)
        assert details == {"timeout_seconds": HOUR}


async def test_an_answer_before_the_deadline_passes(proxy, gateway):
    async with serve_agent(SlowAgent()) as agent, serve_agent(SilentAgent()) as other:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        proxy.registry.set_workspace(CALLER, address=other.url)
        await gateway.open(1, message_body(), timeout=str(HOUR))
        await agent.asked.wait()
        await gateway.open(2, message_body(), target=CALLER, timeout="1")
        await expect_deadline(gateway, 2)

        agent.go.set()

        assert (await gateway.next(1)).head.status == 200


async def test_a_call_is_answered_once_although_its_message_goes_on(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        proxy.auth.may_answer.clear()
        await gateway.open(1, message_body("message/stream"), timeout="1")
        await expect_deadline(gateway, 1)

        proxy.auth.may_answer.set()
        await eventually(lambda: proxy.list_activities(TARGET))
        await gateway.open(2, message_body())

        assert (await gateway.next(2)).head.status == 200
        assert gateway.count_frames(1) == 0


async def test_calls_of_workspaces_last_thirty_minutes_at_most(proxy, gateway):
    async with serve_agent(SilentAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        proxy.registry.set_workspace(CALLER)

        await gateway.open(1, message_body(), sender=A_WORKSPACE, elapsed_micros=MINUTES_30 * 1_000_000 - LEFT_MICROS)

        details = await expect_deadline(gateway, 1)
        assert details.pop("delivery") in list_possible_deliveries(agent)
        assert details == {"timeout_seconds": MINUTES_30}
