"""Tests that a stream whose task has ended is never shown as interrupted, however the stream itself ended."""

import pytest
import sqlalchemy as sa

from protos.provisioner.v1 import provisioner_pb2
from services.a2a_proxy.streams.store import StreamStore
from services.a2a_proxy.streams.tables import STREAM_WRITERS, STREAMS
from services.a2a_proxy.streams.writer import ABANDONED_AGE, StreamWriter
from tests.a2a_proxy.fake_gateway import TARGET
from tests.a2a_proxy.running_proxy import RunningProxy
from tests.a2a_proxy.streams.stream_agent import StreamAgent, StreamClient
from tests.agents import serve_agent
from tests.waiting import eventually


@pytest.fixture
async def agent(proxy):
    async with serve_agent(StreamAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        yield agent


async def execute(proxy: RunningProxy, statement: sa.Executable) -> list:
    async with proxy.store.begin() as tx:
        result = await tx.connection.execute(statement)
        return list(result) if result.returns_rows else []


async def read_endings(proxy: RunningProxy) -> list:
    return [row.ending for row in await execute(proxy, sa.select(STREAMS.c.ending))]


async def lose_the_proxy(proxy: RunningProxy, writer: StreamWriter) -> None:
    """Undo that the ends of streams were stored, as if their proxy had died just before, and have them ended."""
    await execute(proxy, sa.update(STREAMS).values(ended_at=None, ending=None))
    await execute(proxy, sa.update(STREAMS).values(begun_at=sa.func.now() - 2 * ABANDONED_AGE, writer_id=TARGET))
    await execute(proxy, sa.delete(STREAM_WRITERS).where(STREAM_WRITERS.c.id == TARGET))
    await writer.end_abandoned()


@pytest.mark.covers("BEY-02")
@pytest.mark.parametrize("end", ["broken", "open"])
async def test_a_stream_ends_with_its_task_even_if_its_agent_does_not_end_it(proxy, gateway, agent, end):
    agent.end = end
    proxy.provisioner.condition = provisioner_pb2.INSTANCE_CONDITION_UNKNOWN
    client = StreamClient(gateway)
    await client.open(timeout="1" if end == "open" else "")
    await client.read()
    agent.go.set()

    assert (client.text, client.end.end.interrupted) == ("0 1 2 ", False)
    assert await eventually(lambda: has_ended(proxy))
    assert await read_endings(proxy) == ["completed"]


async def has_ended(proxy: RunningProxy) -> bool:
    return None not in await read_endings(proxy)


@pytest.mark.covers("BEY-02")
async def test_a_proxy_that_dies_after_the_last_event_leaves_a_stream_that_is_whole(proxy, gateway, agent):
    writer = StreamWriter(StreamStore(proxy.store._engine, None), writer_id=TARGET)
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    assert await eventually(lambda: has_ended(proxy))

    await lose_the_proxy(proxy, writer)

    resumed = StreamClient(gateway)
    await resumed.open(last_event_id=client.events[1][0])
    await resumed.read()
    assert (resumed.text, resumed.end.end.interrupted) == ("1 2 ", False)


@pytest.mark.covers("BEY-02")
async def test_a_proxy_that_dies_before_the_last_event_leaves_a_stream_that_is_interrupted(proxy, gateway, agent):
    writer = StreamWriter(StreamStore(proxy.store._engine, None), writer_id=TARGET)
    agent.breaks_before = 2
    client = StreamClient(gateway)
    await client.open()
    await client.read()
    assert await eventually(lambda: has_ended(proxy))

    await lose_the_proxy(proxy, writer)

    assert await read_endings(proxy) == ["interrupted"]
