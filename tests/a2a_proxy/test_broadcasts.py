import asyncio
import json
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import pytest

from protos.a2a_proxy.v1 import broadcasts_pb2 as pb
from protos.a2a_proxy.v1 import broadcasts_pb2_grpc as rpc
from services.a2a_proxy import broadcasts as module
from services.a2a_proxy.broadcasts import Broadcasts
from services.a2a_proxy.model import Broadcast
from services.chassis import clients
from services.chassis.errors import PermissionDenied
from tests.a2a_proxy.offices import open_office
from tests.a2a_proxy.test_api import TARGET, exchanging, hello
from tests.agents import EchoAgent, serving
from tests.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def listening(broadcasts):
    """Somebody listens, and has not heard anything yet."""
    async with aclosing(broadcasts.watch()) as watch:
        first = asyncio.ensure_future(anext(watch))
        await eventually(lambda: broadcasts.listened_to)
        yield watch, first


async def test_nobody_listens_before_and_after():
    broadcasts = Broadcasts()
    async with listening(broadcasts) as (_, first):
        broadcasts.tell([Broadcast("A", "w", NOW, b"{}")])
        assert [one.event_type for one in await first] == ["A"]
    assert not broadcasts.listened_to


async def test_what_comes_together_is_told_together_up_to_a_message_full():
    broadcasts = Broadcasts()
    async with listening(broadcasts) as (watch, first):
        broadcasts.tell([Broadcast("A", "w", NOW, b"x" * 400_000)] * 3)
        broadcasts.tell([Broadcast("B", "w", NOW, b"x" * 2 * module.MESSAGE)])

        assert [len(batch) for batch in (await first, await anext(watch), await anext(watch))] == [2, 1, 1]


async def test_a_listener_that_does_not_listen_misses_and_costs_no_more_than_its_backlog():
    broadcasts = Broadcasts()
    large = Broadcast("A", "w", NOW, b"x" * 1024 * 1024)
    async with listening(broadcasts) as (_, first):
        broadcasts.tell([large] * 200)
        [listener] = broadcasts._listeners
        assert listener._bytes <= module.BACKLOG_BYTES + 2 * 1024 * 1024
        await first


@pytest.mark.covers("ACT-04")
async def test_a_message_is_told_once_its_row_can_be_read(database_url):
    async with open_office(database_url) as office, serving(EchoAgent()) as agent:
        office.book.write(TARGET, address=agent.url)
        async with clients.open_channel(office.address, speaker="gateway") as line, exchanging(office) as gateway:
            stub = rpc.BroadcastServiceStub(line.channel)
            async with aclosing(line.watch(stub.WatchBroadcasts, pb.WatchBroadcastsRequest())) as watch:
                first = asyncio.ensure_future(anext(watch))

                async def answered():
                    await gateway.ask(hello())
                    await asyncio.wait([first], timeout=0.5)
                    return first.done()

                await eventually(answered, within=20)
                logged, answer = (await first).broadcasts[:2]
                rows = await office.log(TARGET)

    assert (logged.event_type, answer.event_type) == ("ACTIVITY_LOGGED", "A2A_RESPONSE")
    assert logged.workspace_id == answer.workspace_id == TARGET
    assert json.loads(answer.payload)["response_body"] == json.loads(rows[-1].response_body)
    assert json.loads(logged.payload)["request_body"] == json.loads(hello())


async def test_only_the_gateway_listens(database_url):
    async with (
        open_office(database_url) as office,
        clients.open_channel(office.address, speaker="registry") as line,
    ):
        stub = rpc.BroadcastServiceStub(line.channel)
        with pytest.raises(PermissionDenied):
            await anext(line.watch(stub.WatchBroadcasts, pb.WatchBroadcastsRequest()))
