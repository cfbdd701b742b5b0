"""Measures streams: `python -m bench.streams`; it takes half a minute, and the last line is JSON.

A stream of one event is timed through the plane and against the agent directly: from the request to its first byte, and
from the agent's sending of that byte to its arrival. Then a hundred streams with five events a second each show how
late events are, and a thousand silent ones how much memory streams occupy. At last it is measured what storing an event
takes, of a hundred streams together and of one alone, and what converting a message of 10 kB and a small event takes.
The processor time of each process does not depend on what else the machine does.
"""

import asyncio
import json
import statistics
import time
import timeit
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import aiohttp
import uvloop
from aiohttp import web

from bench import conversion as bench_conversion
from bench import process_cost
from deploy.plane import Plane
from molecule_a2a.model import AnswerConversion, Dialect, Operation
from services.a2a_proxy.app import service
from services.a2a_proxy.conversion import ConvertedMessage, StreamConverter
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import Push, WorkspaceId
from services.a2a_proxy.streams.model import EventWrite, NewRecording, RecordedEvent
from services.a2a_proxy.streams.store import CONNECTION_SETTINGS, StreamStore
from services.a2a_proxy.streams.writer import MAX_STATEMENTS, StreamWriter
from services.a2a_proxy.tasks.model import TaskOwner
from services.chassis import database

ENVIRONMENT = {
    "RATE_LIMIT": "1000000000",
    "REMOTE_LIVENESS_STALE_AFTER": "86400",
    "A2A_PROXY_MAX_DISPATCHES_PER_TARGET": "2000",
}

MEASURED = ("gateway", "a2a_proxy")
"""Processes whose memory is measured."""

PROCESSES = (*MEASURED, "postgres")
"""Processes whose processor time is measured."""

SHORT_STREAMS = 200

BUSY_STREAMS = 100

EVENTS_PER_STREAM = 25

EVENT_INTERVAL_SECONDS = 0.2

SILENT_STREAMS = 1000

STORED_EVENTS = 300
"""Events of one stream that are stored one after the other."""

STORED_ROUNDS = 50
"""Events of each of a hundred streams that are stored at the same time."""

CONVERTED_EVENTS = 2000


def main() -> None:
    """Measure, and print the results."""
    asyncio.run(_measure())


async def _measure() -> None:
    async with (
        _serve_agent() as agent_url,
        Plane(backend="none", env=ENVIRONMENT, processes=True) as plane,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        target = f"{plane.url}/workspaces/{await _create_target(plane, agent_url)}/a2a"
        direct, _ = await _time_first_bytes(http, agent_url)
        with _measure_cost(plane, SHORT_STREAMS) as cost:
            through, late = await _time_first_bytes(http, target)
        _print(f"processor time of a stream of one event, in microseconds: {cost.render()}")
        _print(f"first byte: {direct:.2f} ms directly, {through:.2f} ms through the plane")
        _print(f"first byte: {late:.2f} ms after the agent has sent it")
        with _measure_cost(plane, BUSY_STREAMS * EVENTS_PER_STREAM) as cost:
            p99 = await _measure_lateness(http, target)
        _print(f"processor time of an event, in microseconds: {cost.render()}")
        _print(f"events of {BUSY_STREAMS} streams: p99 {p99:.1f} ms late")
        growth = await _measure_memory(plane, http, target)
        _print(f"{SILENT_STREAMS} streams: {growth:.1f} MiB")
        store, store_alone = await asyncio.to_thread(lambda: uvloop.run(_time_store(plane.database_url)))
        _print(f"storing: {store:.0f} us for an event of {BUSY_STREAMS} streams, {store_alone:.0f} us for one alone")
    converted, small = bench_conversion.time_message(), _time_conversion()
    _print(f"converting: {converted:.1f} us for a message of 10 kB, {small:.1f} us for a small event")
    summary = {
        "first_byte_added_ms": round(late, 2),
        "streams_1000_mib": round(growth, 1),
        "event_p99_ms": round(p99, 1),
        "store_us": round(store),
        "convert_us": round(converted, 1),
    }
    _print(json.dumps(summary))


@asynccontextmanager
async def _serve_agent() -> AsyncIterator[str]:
    """Serve an agent that streams as many events as the message says, each with the time at which it is sent."""
    runner = web.AppRunner(_build_application(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def _build_application() -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        events = (await request.json())["params"]["message"]["metadata"]["events"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(events):
            if number:
                await asyncio.sleep(EVENT_INTERVAL_SECONDS)
            await response.write(_build_event(time.perf_counter()))
        if not events:
            await response.write(_build_event(time.perf_counter()))
            await asyncio.Event().wait()
        return response

    application = web.Application()
    application.router.add_post("/", answer)
    return application


def _build_event(at: float) -> bytes:
    artifact = {"artifactId": "a", "parts": [{"kind": "text", "text": "x" * 50}], "metadata": {"at": at}}
    result = {"kind": "artifact-update", "taskId": "t", "contextId": "c", "artifact": artifact}
    return b"data: " + json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode() + b"\n\n"


def _read_sending_time(event: bytes) -> float:
    """Return when the agent has sent an event."""
    data = event.split(b"data: ", 1)[1].split(b"\n", 1)[0]
    return float(json.loads(data)["result"]["artifact"]["metadata"]["at"])


async def _create_target(plane: Plane, agent_url: str) -> str:
    body = {"name": "bench", "runtime": "external", "external": True, "url": agent_url, "max_concurrent_tasks": 2000}
    answer = await plane.http.post("/workspaces", json=body, headers=plane.admin)
    answer.raise_for_status()
    return str(answer.json()["id"])


def _build_request(events: int) -> dict[str, object]:
    """Return a message that asks for as many events; for 0 the stream is silent after its first one."""
    message = {
        "messageId": str(uuid4()),
        "role": "user",
        "parts": [{"kind": "text", "text": "hi"}],
        "metadata": {"events": events},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": {"message": message}}


async def _time_first_bytes(http: aiohttp.ClientSession, url: str) -> tuple[float, float]:
    """Return the median milliseconds from request to first byte, and from the sending of that byte to its arrival."""
    durations, late = [], []
    for _ in range(SHORT_STREAMS):
        began = time.perf_counter()
        async with http.post(url, json=_build_request(1)) as answer:
            first = await answer.content.readany()
            arrived = time.perf_counter()
            durations.append(arrived - began)
            late.append(arrived - _read_sending_time(first + await answer.read()))
    return statistics.median(durations) * 1000, statistics.median(late) * 1000


async def _measure_lateness(http: aiohttp.ClientSession, url: str) -> float:
    """Return the 99th percentile of the milliseconds that events are late."""
    late: list[float] = []

    async def read(number: int) -> None:
        await asyncio.sleep(EVENT_INTERVAL_SECONDS * number / BUSY_STREAMS)  # so that not all send at the same time
        async with http.post(url, json=_build_request(EVENTS_PER_STREAM)) as answer:
            late.extend(
                [
                    time.perf_counter() - _read_sending_time(line)
                    async for line in answer.content
                    if line.startswith(b"data: ")
                ]
            )

    await asyncio.gather(*(read(number) for number in range(BUSY_STREAMS)))
    return statistics.quantiles(late, n=100)[-1] * 1000


async def _measure_memory(plane: Plane, http: aiohttp.ClientSession, url: str) -> float:
    """Return the growth of the measured processes in MiB while many streams are open."""
    before = process_cost.measure_mebibytes(plane, MEASURED)
    answers = await asyncio.gather(*(http.post(url, json=_build_request(0)) for _ in range(SILENT_STREAMS)))
    await asyncio.gather(*(answer.content.readany() for answer in answers))
    after = process_cost.measure_mebibytes(plane, MEASURED)
    for answer in answers:
        answer.close()
    return sum(after.values()) - sum(before.values())


async def _time_store(database_url: str) -> tuple[float, float]:
    """Return the microseconds in which an event is stored: of a hundred streams together, and of one alone."""
    target, owner = WorkspaceId(str(uuid4())), TaskOwner()
    ids = [str(uuid4()) for _ in range(BUSY_STREAMS)]
    begun = [
        NewRecording(id=id_, target_id=target, owner=owner, dialect=Dialect.LEGACY, request_id=b"1") for id_ in ids
    ]
    frame = _build_event(0.0)
    role = service.build_role()
    async with (
        database.open_engine(database_url, role=role, pool=2) as engine,
        DriverConnections(database_url, role=role, limit=MAX_STATEMENTS, settings=CONNECTION_SETTINGS) as connections,
    ):
        writer = StreamWriter(StreamStore(engine, connections), writer_id=str(uuid4()))
        await asyncio.gather(
            *(
                writer.append(EventWrite(stream_id=new.id, events=(RecordedEvent(1, frame),), begins=new))
                for new in begun
            )
        )
        began = time.perf_counter()
        for seq in range(2, STORED_ROUNDS + 2):
            writes = [EventWrite(stream_id=id_, events=(RecordedEvent(seq, frame),)) for id_ in ids]
            await asyncio.gather(*map(writer.append, writes))
        together = (time.perf_counter() - began) / STORED_ROUNDS / BUSY_STREAMS
        durations = []
        for seq in range(STORED_ROUNDS + 2, STORED_ROUNDS + 2 + STORED_EVENTS):
            began = time.perf_counter()
            await writer.append(EventWrite(stream_id=ids[0], events=(RecordedEvent(seq, frame),)))
            durations.append(time.perf_counter() - began)
        return together * 1_000_000, statistics.median(durations) * 1_000_000


class _Cost:
    """The microseconds of processor time that one of many equal things has taken in each process."""

    def __init__(self) -> None:
        self.micros: dict[str, float] = {}

    def render(self) -> str:
        return "   ".join(f"{name} {micros:.0f}" for name, micros in self.micros.items())


@contextmanager
def _measure_cost(plane: Plane, count: int) -> Iterator[_Cost]:
    """Measure the processor time of `count` things that the block does."""
    cost, before = _Cost(), process_cost.measure_cpu_seconds(plane, PROCESSES)
    yield cost
    after = process_cost.measure_cpu_seconds(plane, PROCESSES)
    cost.micros = {name: (after[name] - before[name]) / count * 1_000_000 for name in PROCESSES}


def _time_conversion() -> float:
    """Return the microseconds in which a small event of 0.3 is converted for a caller of 1.0."""
    conversion = AnswerConversion(operation=Operation.SEND_STREAMING_MESSAGE, caller=Dialect.CURRENT)
    converter = StreamConverter(
        ConvertedMessage(body=b"", push=Push("", trusted=True), answer=conversion, request_id=1)
    )
    event = _build_event(0.0)
    return (
        min(timeit.repeat(lambda: converter.convert(event), number=CONVERTED_EVENTS, repeat=5)) / CONVERTED_EVENTS * 1e6
    )


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
