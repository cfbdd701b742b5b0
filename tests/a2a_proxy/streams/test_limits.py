"""What bounds recordings, and what happens to a stream that cannot be recorded."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web

from services.a2a_proxy.app import service
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.streams import recorder, recording, writer
from services.a2a_proxy.streams.caller_buffer import MAX_BUFFERED_BYTES
from services.a2a_proxy.streams.model import Ending
from services.a2a_proxy.streams.retention import StreamRetention
from services.a2a_proxy.streams.store import StreamStore
from services.a2a_proxy.streams.tables import STREAM_EVENTS, STREAM_WRITERS, STREAMS
from services.a2a_proxy.streams.watching import Follower
from services.a2a_proxy.streams.writer import ABANDONED_AGE, StreamWriter
from services.a2a_proxy.tasks.tables import TASKS
from services.a2a_proxy.waiting_call import WINDOW_BYTES, WaitingCall
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
    if module is recording:
        agent.events = 20_000  # more than is sent before the proxy learns that the client has left
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
    agent.pauses = frozenset({1})
    client = StreamClient(gateway)
    await client.open()
    await client.read(2)
    monkeypatch.setattr(writer, "STORE_TIMEOUT", timedelta(seconds=0.1))  # what comes before has time enough
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


@dataclass
class SplittingAgent(StreamAgent):
    """Streams events in pieces that end in the middle of an event, each when it is told."""

    next: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        events = []
        for number in range(4):
            artifact = {"artifactId": "a", "parts": [{"kind": "text", "text": f"{number} "}]}
            result = {"kind": "artifact-update", "taskId": self.task_id, "contextId": "c", "artifact": artifact}
            events.append(f"data: {json.dumps({'jsonrpc': '2.0', 'id': message['id'], 'result': result})}\n\n".encode())
        for whole, half in ((events[0], b""), (events[1], events[2][:20]), (events[2][20:], events[3][:20])):
            await response.write(whole + half)
            await self.next.wait()
            self.next.clear()
        await response.write(events[3][20:])
        await response.write_eof()
        return response


@pytest.mark.covers("BEY-02")
async def test_a_stream_that_cannot_be_stored_any_more_keeps_its_order_and_its_task(proxy, gateway, monkeypatch):
    async with serve_agent(SplittingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        client = StreamClient(gateway)
        await client.open()
        await client.read(1)
        monkeypatch.setattr(writer, "STORE_TIMEOUT", timedelta(seconds=0.1))  # the first event has time enough
        async with proxy.store.begin() as tx:
            await tx.connection.execute(sa.text("lock table a2a_proxy.stream_events in exclusive mode"))
            for _ in range(2):
                agent.next.set()
                await client.read(1)
        agent.next.set()
        await client.read()

    assert client.text == "0 1 2 3 "
    assert [bool(id_) for id_, _ in client.events] == [True, False, False, False]


@pytest.mark.parametrize("limit", [50, 1000], ids=["from the beginning", "after some events"])
async def test_the_task_of_a_stream_is_known_even_if_its_event_is_not_recorded(proxy, gateway, monkeypatch, limit):
    monkeypatch.setattr(recording, "MAX_EVENT_BYTES", limit)
    agent = StreamAgent(shows_task=limit == 50, events=1 if limit == 50 else 0)
    async with serve_agent(agent):
        proxy.registry.set_workspace(TARGET, address=agent.url)
        client = StreamClient(gateway)
        await client.open()
        await client.read()

    known = sa.select(TASKS.c.task_id).where(TASKS.c.target_id == TARGET)
    assert list((await execute(proxy, known)).scalars()) == ["t-1"]
    assert bool(client.events[0][0]) == (limit == 1000)


@dataclass
class EndlessAgent(StreamAgent):
    """Streams without end, until a write has to wait for a second, or MAX_SENT bytes are sent."""

    MAX_SENT = 128 * 1024 * 1024

    sent: int = 0
    is_held_back: bool = False

    async def stream(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        event = b"data: " + b"x" * 32768 + b"\n\n"
        while self.sent < self.MAX_SENT:
            try:
                async with asyncio.timeout(1):
                    await response.write(event)
            except TimeoutError:
                self.is_held_back = True
                break
            self.sent += len(event)
        await self.go.wait()
        return response


@pytest.mark.covers("BEY-02")
async def test_a_caller_that_takes_nothing_holds_a_bounded_part_of_its_stream(proxy, gateway):
    async with serve_agent(EndlessAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        client = StreamClient(gateway)
        await client.open()

        assert await eventually(lambda: agent.is_held_back or agent.sent >= agent.MAX_SENT)
        assert agent.is_held_back
        stored = sa.select(sa.func.sum(sa.func.length(STREAM_EVENTS.c.event)))
        assert (await execute(proxy, stored)).scalar_one() <= WINDOW_BYTES + 2 * MAX_BUFFERED_BYTES
        await client.cut()
        agent.go.set()


def count_objects(*kinds: type) -> int:
    gc.collect()
    return sum(isinstance(found, kinds) for found in gc.get_objects())


@pytest.mark.covers("BEY-02")
async def test_a_thousand_readers_that_vanish_leave_nothing(proxy, gateway, agent):
    agent.pauses = frozenset({1})
    client = StreamClient(gateway)
    await client.open()
    await client.read(2)
    objects, tasks = count_objects(Follower, WaitingCall), len(asyncio.all_tasks())

    for _ in range(4):
        readers = [StreamClient(gateway) for _ in range(250)]
        for reader in readers:
            await reader.open(last_event_id=client.events[0][0])
        for reader in readers:
            await reader.cut()
        assert await eventually(lambda: len(asyncio.all_tasks()) == tasks)

    assert count_objects(Follower, WaitingCall) == objects
    agent.go.set()
    await client.read()
    assert client.text == "0 1 2 "


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
    agent.events, agent.pauses = 1000, frozenset({900})  # so that the stream has not ended before the kill
    async with run_process(proxy, tmp_path) as killed:
        with pytest.raises(ExceptionGroup):  # the connection of the gateway breaks
            await killed.read_until_killed(137)
    agent.go.set()
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
