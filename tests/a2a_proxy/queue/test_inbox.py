"""Tests of the inbox of agents that poll, through two proxies on one database."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from protos.a2a_proxy.v1 import inbox_pb2
from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import MessageState, Result, WaitReason
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES
from services.chassis import clients
from services.chassis.errors import ServiceError
from tests.a2a_proxy.fake_gateway import TARGET
from tests.a2a_proxy.queue.polling_agent import PollingAgent
from tests.a2a_proxy.queue.queue_agents import list_queued, wait_for_state
from tests.a2a_proxy.queue.queue_factory import new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, execute, get, set_columns
from tests.a2a_proxy.running_proxy import RunningProxy, run_replica
from tests.waiting import eventually

STALLED_SHARE = 0.15
"""Share of the batches that a consumer holds for longer than their leases."""

RACED_MESSAGES = 200

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def agent(proxy: RunningProxy) -> AsyncIterator[PollingAgent]:
    proxy.registry.set_workspace(TARGET, delivery_mode=pb.DELIVERY_MODE_POLL)
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel:
        yield PollingAgent(channel)


async def fill(proxy: RunningProxy, count: int, **fields) -> list[str]:
    """Put messages into the inbox; returns their ids."""
    messages = [new_message(TARGET, reason=WaitReason.POLL, **fields) for _ in range(count)]
    await accept(proxy.queue, *messages)
    return [message.id for message in messages]


async def is_stale(call) -> bool:
    """Whether a call is refused because its receipt is not that of the present lease."""
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value.reason == "STALE_RECEIPT"


@pytest.mark.covers("BEY-11")
async def test_an_acknowledged_message_is_completed_with_the_answer_of_the_agent(proxy, agent, sender):
    reply = json.loads((await sender.send("m")).head.body)
    (message,) = await agent.lease()

    await agent.acknowledge(message, result=b'{"kind":"message"}')
    await agent.acknowledge(message, result=b'{"kind":"message"}')

    ended = await wait_for_state(proxy, reply["queue_id"], MessageState.COMPLETED)
    assert message.id == reply["queue_id"]
    assert json.loads(message.message)["params"]["message"]["messageId"] == "m"
    assert (ended.result, ended.body) == (Result.OK, b"")
    assert json.loads(ended.answer_body) == {"jsonrpc": "2.0", "id": 7, "result": {"kind": "message"}}
    assert await agent.lease() == []
    rows = await proxy.list_activities(TARGET)
    assert [bool(row.response_body) for row in rows] == [False, True]


@pytest.mark.covers("BEY-11")
async def test_a_returned_message_is_offered_again_after_its_delay(proxy, agent):
    await fill(proxy, 1)
    (message,) = await agent.lease()

    await agent.give_back(message, delay=1, reason="not now")

    assert await agent.lease() == []
    (stored,) = await list_queued(proxy)
    assert (stored.failures, stored.last_error) == (1, "not now")
    async with asyncio.timeout(4):  # the safety net of the drain looks every 5 seconds
        (again,) = await agent.lease(wait=10)
    assert (again.id, again.attempts) == (message.id, 1)
    assert await is_stale(agent.acknowledge(message))
    assert await is_stale(agent.give_back(message))
    assert await is_stale(agent.extend(message, 60))


@pytest.mark.covers("BEY-11")
async def test_a_lease_that_ends_without_an_acknowledgement_is_offered_again_and_dead_after_five(proxy, agent):
    (id_,) = await fill(proxy, 1)

    for attempts in range(rules.MAX_FAILURES):
        (message,) = await agent.lease(wait=20, seconds=1)
        assert message.attempts == attempts
        async with proxy.queue.begin() as tx:
            await tx.renew({id_: int(message.receipt)}, timedelta())

    dead = await wait_for_state(proxy, id_, MessageState.DEAD)
    assert dead.failures == rules.MAX_FAILURES
    assert dead.last_error == "not acknowledged in time"


@pytest.mark.covers("BEY-11")
async def test_an_extended_lease_hides_the_message_beyond_the_first_lease(proxy, agent):
    extended_id, other_id = await fill(proxy, 2)
    messages = await agent.lease(seconds=60)
    (extended,) = [message for message in messages if message.id == extended_id]
    await agent.extend(extended, 600)

    for id_ in (extended_id, other_id):  # two minutes pass
        leased = await get(proxy.queue, id_)
        await set_columns(proxy.queue, [id_], lease_expires_at=leased.lease_expires_at - timedelta(minutes=2))

    (again,) = await agent.lease(wait=20)
    assert (again.id, again.attempts) == (other_id, 1)
    assert await agent.lease() == []
    await agent.acknowledge(extended)
    assert (await get(proxy.queue, extended_id)).failures == 0


async def test_a_call_that_waits_is_answered_as_soon_as_a_message_arrives(proxy, agent, sender):
    waiting = asyncio.create_task(agent.lease(wait=30))
    assert await eventually(lambda: not waiting.done())

    await sender.send("m")

    async with asyncio.timeout(4):  # the safety net of the drain looks every 5 seconds
        assert len(await waiting) == 1


async def test_a_message_of_another_workspace_cannot_be_acknowledged(proxy, agent):
    other = new_message(new_id(), reason=WaitReason.POLL)
    await accept(proxy.queue, other)

    for id_ in (other.id, new_id(), "no-uuid"):
        with pytest.raises(ServiceError) as refused:
            await agent.acknowledge(inbox_pb2.InboxMessage(id=id_, receipt="1"))
        assert refused.value.reason == "QUEUE_ITEM_NOT_FOUND"


async def test_an_inbox_that_exceeds_one_answer_is_fetched_in_several(proxy, agent):
    body = b'{"params":"%b"}' % (b"x" * 5_000_000)
    ids = await fill(proxy, 3, body=body)

    first = await agent.lease()
    second = await agent.lease()

    assert [[message.id for message in part] for part in (first, second)] == [ids[:2], ids[2:]]


@pytest.mark.covers("BEY-12")
async def test_eight_consumers_at_two_proxies_acknowledge_each_message_once(proxy, agent):
    ids = await fill(proxy, RACED_MESSAGES)
    acknowledged: Counter[str] = Counter()
    stalled: list[str] = []
    chance = random.Random(1)  # noqa: S311 - no secret

    async def stall(messages: list[inbox_pb2.InboxMessage]) -> None:
        """Hold messages until their leases have ended, as a consumer does that stalls."""
        await set_columns(proxy.queue, [message.id for message in messages], lease_expires_at=LONG_AGO)
        receipts = {message.id: message.receipt for message in messages}
        leased = sa.select(QUEUED_MESSAGES.c.id, QUEUED_MESSAGES.c.lease_generation).where(
            QUEUED_MESSAGES.c.id.in_(receipts), QUEUED_MESSAGES.c.state == MessageState.DISPATCHING
        )

        async def have_ended() -> bool:
            rows = await execute(proxy.queue, leased)
            return all(str(row.lease_generation) != receipts[str(row.id)] for row in rows)

        await eventually(have_ended, within=20)

    async def consume(consumer: PollingAgent) -> None:
        while sum(acknowledged.values()) < len(ids):
            messages = await consumer.lease(wait=1, most=20)
            if messages and chance.random() < STALLED_SHARE and not any(message.attempts for message in messages):
                await stall(messages)
                for message in messages:
                    assert await is_stale(consumer.acknowledge(message))
                    assert await is_stale(consumer.give_back(message))
                    assert await is_stale(consumer.extend(message, 600))
                    stalled.append(message.id)
            else:
                for message in messages:
                    await consumer.acknowledge(message)
                    acknowledged[message.id] += 1

    async with (
        run_replica(proxy) as replica,
        clients.open_channel(replica.address, caller_service="gateway") as channel,
        asyncio.timeout(90),
    ):
        await asyncio.gather(*(consume(consumer) for consumer in [agent, PollingAgent(channel)] * 4))

    assert acknowledged == Counter(ids)
    assert stalled
    columns = QUEUED_MESSAGES.c
    failed = await execute(proxy.queue, sa.select(columns.id, columns.failures).where(columns.failures > 0))
    assert {str(row.id): row.failures for row in failed} == dict.fromkeys(stalled, 1)  # stale calls counted none
    async with proxy.queue.begin() as tx:
        (account,) = await tx.read_accounts([TARGET])
    assert (account.counts[MessageState.COMPLETED], account.is_balanced) == (len(ids), True)
