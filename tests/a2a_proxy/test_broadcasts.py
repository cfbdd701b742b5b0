import asyncio
import json
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from protos.a2a_proxy.v1 import broadcasts_pb2 as pb
from protos.a2a_proxy.v1 import broadcasts_pb2_grpc as rpc
from services.a2a_proxy import broadcasts as module
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.model import Broadcast
from services.a2a_proxy.wire import MAX_PART_BYTES, broadcasts_to_messages
from services.chassis import clients
from services.chassis.errors import PermissionDenied
from tests.a2a_proxy.fake_gateway import TARGET, message_body, open_exchange
from tests.a2a_proxy.running_proxy import run_proxy
from tests.agents import EchoAgent, serve_agent
from tests.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def subscribed(broadcasts):
    """Subscribe, and yield the subscription and the task that waits for its first batch."""
    async with aclosing(broadcasts.subscribe()) as watch:
        first = asyncio.ensure_future(anext(watch))
        await eventually(lambda: broadcasts.has_subscribers)
        yield watch, first


async def test_there_are_subscribers_only_during_a_subscription():
    broadcasts = BroadcastFanOut()
    async with subscribed(broadcasts) as (_, first):
        broadcasts.publish([Broadcast("A", "w", NOW, b"{}")])
        assert [one.event_type for one in await first] == ["A"]
    assert not broadcasts.has_subscribers


async def test_broadcasts_are_batched_up_to_the_limit_of_a_message():
    broadcasts = BroadcastFanOut()
    async with subscribed(broadcasts) as (watch, first):
        broadcasts.publish([Broadcast("A", "w", NOW, b"x" * 400_000)] * 3)
        broadcasts.publish([Broadcast("B", "w", NOW, b"x" * 2 * module.MAX_BATCH_BYTES)])

        assert [len(batch) for batch in (await first, await anext(watch), await anext(watch))] == [2, 1, 1]


async def test_a_subscriber_that_does_not_read_misses_broadcasts_beyond_the_limit():
    broadcasts = BroadcastFanOut()
    large = Broadcast("A", "w", NOW, b"x" * 1024 * 1024)
    async with subscribed(broadcasts) as (_, first):
        broadcasts.publish([large] * 200)
        [subscription] = broadcasts._fan_out._subscriptions
        assert subscription._weight <= module.MAX_UNREAD_BYTES + 2 * 1024 * 1024
        await first


@pytest.mark.covers("ACT-05")
@pytest.mark.parametrize(("excess", "parts"), [(-1, 1), (0, 1), (1, 2), (MAX_PART_BYTES, 2), (MAX_PART_BYTES + 1, 3)])
def test_a_large_payload_is_sent_in_parts_and_small_ones_in_one_message(excess, parts):
    small = Broadcast("A", "w", NOW, b"{}", announced_payload=b"[]")
    large = replace(small, payload=bytes(range(256)) * (MAX_PART_BYTES // 256) + b"x" * excess)
    if excess < 0:
        large = replace(large, payload=large.payload[:excess])

    messages = list(broadcasts_to_messages([small, large, small]))

    sent = [list(message.broadcasts) for message in messages]
    assert len(sent) == parts
    assert all(message.ByteSize() <= MAX_PART_BYTES + 1024 for message in messages)
    flat = [broadcast for message in sent for broadcast in message]
    assert b"".join(broadcast.payload for broadcast in flat[1:-1]) == large.payload
    assert [broadcast.continues for broadcast in flat] == [False, *[True] * (parts - 1), False, False]
    assert [broadcast.HasField("announced_payload") for broadcast in flat] == [True, *[False] * (parts - 1), True, True]
    assert flat[0].payload == flat[-1].payload == b"{}"


@pytest.mark.covers("ACT-04")
async def test_a_message_is_broadcast_after_its_row_is_committed(database_url):
    async with run_proxy(database_url) as proxy, serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        async with (
            clients.open_channel(proxy.address, caller_service="gateway") as channel,
            open_exchange(proxy) as gateway,
        ):
            stub = rpc.BroadcastServiceStub(channel.channel)
            async with aclosing(channel.watch(stub.WatchBroadcasts, pb.WatchBroadcastsRequest())) as watch:
                first = asyncio.ensure_future(anext(watch))

                async def answered():
                    await gateway.send_message(message_body())
                    await asyncio.wait([first], timeout=0.5)
                    return first.done()

                await eventually(answered, within=20)
                logged, answer = (await first).broadcasts[:2]
                rows = await proxy.list_activities(TARGET)

    assert (logged.event_type, answer.event_type) == ("ACTIVITY_LOGGED", "A2A_RESPONSE")
    assert logged.workspace_id == answer.workspace_id == TARGET
    assert json.loads(answer.payload)["response_body"] == json.loads(rows[-1].response_body)
    assert json.loads(logged.payload)["request_body"] == json.loads(message_body())


async def test_only_the_gateway_may_subscribe(database_url):
    async with (
        run_proxy(database_url) as proxy,
        clients.open_channel(proxy.address, caller_service="registry") as channel,
    ):
        stub = rpc.BroadcastServiceStub(channel.channel)
        with pytest.raises(PermissionDenied):
            await anext(channel.watch(stub.WatchBroadcasts, pb.WatchBroadcastsRequest()))
