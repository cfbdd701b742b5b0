"""What bounds recordings, and what happens to a stream that cannot be recorded."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.a2a_proxy.app import service
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.streams import recorder, recording, writer
from services.a2a_proxy.streams.model import Ending
from services.a2a_proxy.streams.retention import StreamRetention
from services.a2a_proxy.streams.store import StreamStore
from services.a2a_proxy.streams.tables import STREAM_EVENTS, STREAM_WRITERS, STREAMS
from services.a2a_proxy.streams.writer import ABANDONED_AGE, StreamWriter
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, CALLER, TARGET, open_exchange
from tests.a2a_proxy.running_proxy import RunningProxy
from tests.a2a_proxy.streams.stream_agent import StreamAgent, StreamClient
from tests.agents import serve_agent
from tests.waiting import eventually

LONG_AGO = sa.func.now() - timedelta(hours=2)


@pytest.fixture
async def agent(proxy):
    async with serve_agent(StreamAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=8)
        proxy.registry.set_workspace(CALLER)
        yield agent


@pytest.fixture
async def store(proxy) -> AsyncIterator[StreamStore]:
    async with DriverConnections(proxy.database_url, role=service.build_role(), limit=1) as connections:
        yield StreamStore(proxy.store._engine, connections)


async def execute(proxy, statement):
    async with proxy.store.begin() as tx:
        return await tx.connection.execute(statement)


async def list_endings(proxy) -> list[str | None]:
    return list((await execute(proxy, sa.select(STREAMS.c.ending).order_by(STREAMS.c.begun_at))).scalars())


async def count_events(proxy) -> int:
    return (await execute(proxy, sa.select(sa.func.count()).select_from(STREAM_EVENTS))).scalar_one()


async def record(proxy, gateway, **options) -> StreamClient:
    """Record a whole stream."""
    client = StreamClient(gateway, **options)
    before = len(await list_endings(proxy))
    await client.open()
    await client.read()

    async def has_ended() -> bool:
        endings = await list_endings(proxy)
        return len(endings) == before + 1 and None not in endings

    assert await eventually(has_ended)
    return client


@pytest.mark.covers("BEY-02")
async def test_the_oldest_events_of_a_large_stream_are_dropped(proxy, gateway, agent, monkeypatch):
    monkeypatch.setattr(recording, "MAX_KEPT_BYTES", 400_000)
    monkeypatch.setattr(recording, "SEGMENT_BYTES", 1000)
    agent.events = 5000
    client = await record(proxy, gateway)

    assert client.text == "".join(f"{number} " for number in range(5000))
    assert 100 < await count_events(proxy) < 2000
    assert (await client.open(last_event_id=client.events[10][0])).refused.reason == "STREAM_EVENTS_GONE"
    assert (await client.open(last_event_id=client.events[-3][0])).head.status == 200
    assert len(await client.read()) == 2


@pytest.mark.parametrize(
    ("module", "limit"),
    [
        (recorder, "MAX_DETACHED_PER_TARGET"),
        (recorder, "MAX_DETACHED"),
        (recorder, "MAX_DETACHED_REQUEST_BYTES"),
        (recording, "MAX_DETACHED_BYTES"),
    ],
)
async def test_a_stream_beyond_the_limits_ends_without_its_caller(proxy, gateway, agent, monkeypatch, module, limit):
    monkeypatch.setattr(module, limit, 0)
    agent.pauses = frozenset({1})
    client = StreamClient(gateway)
    await client.open()
    await client.read(2)
    await client.cut()
    if module is recording:
        agent.go.set()

    assert await eventually(lambda: proxy.list_activities(TARGET))

    async def is_interrupted() -> bool:
        return await list_endings(proxy) == ["interrupted"]

    assert await eventually(is_interrupted)
    assert not agent.is_done or module is recording
    agent.go.set()


@pytest.mark.covers("BEY-02")
async def test_a_stream_that_cannot_be_stored_goes_on_without_ids(proxy, gateway, agent, monkeypatch):
    monkeypatch.setattr(writer, "STORE_TIMEOUT", timedelta(seconds=0.1))
    agent.pauses = frozenset({1})
    client = StreamClient(gateway)
    await client.open()
    await client.read(2)
    async with proxy.store.begin() as tx:
        await tx.connection.execute(sa.text("lock table a2a_proxy.stream_events in exclusive mode"))
        agent.go.set()
        await client.read()

    assert client.text == "0 1 2 "
    assert [bool(id_) for id_, _ in client.events] == [True, True, False, False, False]
    assert not client.end.end.interrupted

    async def is_incomplete() -> bool:
        return await list_endings(proxy) == [Ending.INCOMPLETE]

    assert await eventually(is_incomplete)
    assert (await client.open(last_event_id=client.events[0][0])).refused.reason == "STREAM_EVENTS_GONE"


@pytest.mark.covers("BEY-02")
async def test_a_caller_that_takes_nothing_does_not_hold_back_one_that_resumes(proxy, gateway, agent):
    agent.events, agent.pauses = 6000, frozenset({1})
    slow, client = StreamClient(gateway), StreamClient(gateway)
    await slow.open()
    await slow.read(2)
    await client.open(last_event_id=slow.events[0][0])
    agent.go.set()
    await client.read()

    assert client.text == "".join(f"{number} " for number in range(6000))


@pytest.mark.covers("BEY-02")
async def test_recordings_are_erased_after_their_retention(proxy, gateway, agent, store):
    await record(proxy, gateway)
    client = await record(proxy, gateway)
    retention = StreamRetention(store, age=timedelta(hours=1), max_bytes=10**9)
    await retention.clean()
    assert len(await list_endings(proxy)) == 2

    await execute(proxy, sa.update(STREAMS).values(ended_at=LONG_AGO))
    await retention.clean()

    assert (await list_endings(proxy), await count_events(proxy)) == ([], 0)
    assert (await client.resume()).refused.reason == "STREAM_EVENTS_GONE"


async def test_the_oldest_recordings_are_erased_beyond_the_limit_on_all(proxy, gateway, agent, store):
    await record(proxy, gateway)
    newer = await record(proxy, gateway)
    size = (await execute(proxy, sa.select(sa.func.sum(STREAMS.c.bytes)))).scalar_one()

    await StreamRetention(store, age=timedelta(hours=1), max_bytes=int(size) - 1).clean()

    assert len(await list_endings(proxy)) == 1
    assert (await newer.resume()).head.status == 200


@pytest.mark.parametrize("purged", [TARGET, CALLER], ids=["target", "caller"])
async def test_a_purge_erases_the_recordings_of_both_sides(proxy, gateway, agent, store, purged):
    await record(proxy, gateway, identity=A_WORKSPACE)
    await StreamRetention(store, age=timedelta(hours=1), max_bytes=10**9).purge(WorkspaceId(purged))

    assert (await list_endings(proxy), await count_events(proxy)) == ([], 0)


@dataclass
class KilledProxy:
    """A proxy as a process, which is killed while it passes on a stream."""

    process: asyncio.subprocess.Process
    proxy: RunningProxy
    client: StreamClient | None = None

    async def read_until_killed(self, count: int) -> None:
        """Read some events, and kill the process; raises what the broken connection raises."""
        async with open_exchange(self.proxy) as dying:
            self.client = StreamClient(dying)
            await self.client.open()
            await self.client.read(count)
            self.process.kill()
            await self.client.read()


@asynccontextmanager
async def run_process(proxy: RunningProxy, folder: Path) -> AsyncIterator[KilledProxy]:
    """Run a further proxy as a process for the length of the block."""
    socket = folder / "killed.sock"
    settings = {
        "MOLECULE_ENV": "development",
        "A2A_PROXY_LISTEN": f"unix:{socket}",
        "DATABASE_URL": proxy.database_url,
        "REGISTRY_TARGETS": proxy.fakes,
        "PROVISIONER_TARGETS": proxy.fakes,
        "AUTH_TARGETS": proxy.fakes,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.a2a_proxy", env=os.environ | settings, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        assert await eventually(socket.exists)
        yield KilledProxy(process, replace(proxy, address=f"unix:{socket}"))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.covers("BEY-02")
async def test_a_killed_proxy_loses_no_event_that_its_caller_has(proxy, gateway, agent, store, tmp_path):
    agent.events = 1000
    async with run_process(proxy, tmp_path) as killed:
        with pytest.raises(ExceptionGroup):  # the connection of the gateway breaks
            await killed.read_until_killed(137)
    client = killed.client
    await execute(proxy, sa.update(STREAM_WRITERS).values(seen_at=LONG_AGO))
    await execute(proxy, sa.update(STREAMS).values(begun_at=sa.func.now() - 2 * ABANDONED_AGE))
    await StreamWriter(store, writer_id=str(TARGET)).end_abandoned()

    received = [data for _, data in client.events]
    resumed = StreamClient(gateway)
    await resumed.open(last_event_id=f"{client.events[0][0].partition(':')[0]}:0")
    stored = await resumed.read()
    assert len(received) >= 137
    assert stored[: len(received)] == received
    assert resumed.end.end.interrupted
    await client.resume(gateway)
    await client.read()
    assert [data for _, data in client.events] == stored
