"""Tests of leases: of proxies that stop, and of two proxies that deliver together."""

from datetime import timedelta

import pytest

from services.a2a_proxy.queue.model import MessageState
from tests.a2a_proxy.fake_gateway import TARGET, open_exchange
from tests.a2a_proxy.queue.queue_agents import ASYNC, Sender, WorkingAgent, list_queued, wait_for_state
from tests.a2a_proxy.running_proxy import run_proxy, run_replica
from tests.agents import serve_agent
from tests.waiting import eventually

SHORT = {"queue_lease": timedelta(seconds=2), "queue_renewal": timedelta(seconds=0.5)}


@pytest.mark.covers("BEY-01")
async def test_what_a_stopped_proxy_was_delivering_is_repeated_only_where_that_is_safe(database_url):
    async with (
        run_proxy(database_url, **SHORT) as proxy,
        serve_agent(WorkingAgent()) as agent,
        run_replica(proxy, **SHORT) as stopping,
        open_exchange(stopping) as gateway,
    ):
        proxy.stop.set()
        await proxy.stopped.wait()
        agent.may_answer.clear()
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=2)
        sender = Sender(gateway)
        unsafe = await sender.queue("unsafe", headers=ASYNC)
        safe = await sender.queue("safe", headers=ASYNC, is_idempotent=True)
        await eventually(lambda: agent.running == 2)

        stopping.stop.set()
        await stopping.stopped.wait()
        agent.may_answer.set()
        async with run_replica(proxy, **SHORT):
            unknown = await wait_for_state(proxy, unsafe, MessageState.UNKNOWN)
            repeated = await wait_for_state(proxy, safe, MessageState.COMPLETED)

        assert unknown.last_error == "the process that delivered it stopped before the outcome was known"
        assert repeated.failures == 1
        assert sorted(agent.message_ids) == ["safe", "safe", "unsafe"]


async def test_a_lease_is_renewed_while_the_agent_works(database_url):
    async with (
        run_proxy(database_url, **SHORT) as proxy,
        open_exchange(proxy) as gateway,
        serve_agent(WorkingAgent()) as agent,
    ):
        agent.may_answer.clear()
        proxy.registry.set_workspace(TARGET, address=agent.url)
        id_ = await Sender(gateway).queue("m", headers=ASYNC)
        first = await wait_for_state(proxy, id_, MessageState.DISPATCHING)

        async def is_held_beyond_its_first_lease() -> bool:
            async with proxy.queue.begin() as tx:
                now = await tx.now()
            return now > first.lease_expires_at + timedelta(seconds=1)

        await eventually(is_held_beyond_its_first_lease)
        agent.may_answer.set()

        ended = await wait_for_state(proxy, id_, MessageState.COMPLETED)
        assert (ended.lease_generation, ended.failures) == (1, 0)
        assert agent.message_ids == ["m"]


@pytest.mark.covers("A2A-31", "BEY-01")
async def test_two_proxies_deliver_each_message_once(proxy, sender):
    async with run_replica(proxy) as replica, open_exchange(replica) as gateway, serve_agent(WorkingAgent()) as agent:
        other = Sender(gateway)
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=2)
        names = [f"m-{number}" for number in range(40)]

        for number, name in enumerate(names):
            await (sender if number % 2 else other).queue(name, headers=ASYNC)

        async def are_completed() -> bool:
            return {message.state for message in await list_queued(proxy)} == {MessageState.COMPLETED}

        await eventually(are_completed, within=20)
        assert sorted(agent.message_ids) == sorted(names)
        assert agent.most_running <= 4  # each proxy keeps to the limit on its own until a heartbeat tells of the other
        async with proxy.queue.begin() as tx:
            (account,) = await tx.read_accounts([TARGET])
        assert (account.accepted, account.counts[MessageState.COMPLETED], account.is_balanced) == (40, 40, True)
