"""Measures the registry under load: `python -m bench.registry`; the last line is JSON. docs/performance.md explains it.

The processes are those that `make up` starts. Other processes send the heartbeats of the agents; they share the cores
with the plane.
"""

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import asyncpg

from bench import population, process_cost
from bench.feed_latency import Subscriber
from bench.heartbeats import LoadPlan
from bench.load import Sample, summarise
from bench.sweeps import SweepCost, measure_sweeps
from deploy import postgres
from deploy.layout import Layout
from deploy.plane import Plane
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind

PROCESSES = ("gateway", "registry", "auth", "postgres", "a2a_proxy", "provisioner")
"""Processes whose processor time and memory are printed."""

POPULATION = 10_000
"""Workspaces registered, all of them online."""

CACHED_AGENTS = 200
"""Agents of the burst in which the gateway has every identity in its cache."""

CONNECTIONS = 128
"""Connections that carry the heartbeats."""

BURST_SECONDS = 8.0
"""Seconds of each burst, after a warm-up that is not counted."""

WARM_UP_SECONDS = 2.0

FEED_WAIT_SECONDS = 4.0
"""Seconds in which the feed sends the new workspaces to its subscribers."""

STEADY_RATE = POPULATION / 30
"""Heartbeats a second if each agent sends one every 30 seconds."""

STEADY_SECONDS = 20.0
"""Seconds for which the registry's share of a core is measured."""

STATUS_CHANGES = 300
"""Agents that become degraded and recover while a subscriber reads the feed, under steady heartbeats."""

CHANGE_INTERVAL_SECONDS = 0.04
"""Seconds between the first heartbeats of two such agents."""

PAGE_REQUESTS = 300
"""Pages of a hundred workspaces that are read."""

LEAD_COUNT, MEMBER_COUNT = 11, 188
"""The imported organisation has two hundred workspaces, its root included."""

FEW_WORKSPACES, MANY_WORKSPACES = 1_000, 50_000
"""Numbers of healthy workspaces for which the sweeps are measured."""


def main() -> None:
    """Measure, and print the results."""
    asyncio.run(_main())


async def _main() -> None:
    with TemporaryDirectory(prefix="molecule-bench-") as scratch:
        layout = Layout.for_home(Path(scratch) / "home")
        async with Plane(backend="none", processes=True, home=layout.home) as plane:
            figures = await _measure(plane, layout)
    print(json.dumps(figures))


async def _measure(plane: Plane, layout: Layout) -> dict[str, object]:
    server = f"postgresql://{postgres.SUPERUSER}@/{postgres.DATABASE}?host={layout.database_sockets}"
    registry_address = f"unix:{layout.socket('registry')}"
    connection = await asyncpg.connect(server)
    async with clients.open_channel(registry_address, caller_service="gateway") as channel:
        await _insert_population(connection)
        all_agents = await _measure_burst(
            plane, "through the gateway, all agents in turn", address=_get_port(plane), agents=POPULATION
        )
        cached_agents = await _measure_burst(
            plane, "through the gateway, known agents", address=_get_port(plane), agents=CACHED_AGENTS
        )
        direct = await _measure_burst(plane, "directly at the registry", address=registry_address, agents=POPULATION)
        await population.refresh_vitals(connection)
        share, feed = await _measure_steady_load(plane, channel)
        page = await _measure_pages(channel)
        whole_list = await _measure_whole_list(plane)
        memory = _measure_memory(plane)
        imported = await _measure_import(plane)
    await connection.close()
    few, many = await _compare_sweeps(server)
    return {
        "heartbeats_per_s": round(all_agents.rate),
        "feed_p99_ms": round(feed.p99_ms, 1),
        "list_p99_ms": round(page.p99_ms, 1),
        "import_200_s": round(imported, 2),
        "cpu_share_10k": round(share, 3),
        "sweep_ratio_50k_to_1k": round(many.milliseconds / few.milliseconds, 2),
        "sweep_pages_ratio_50k_to_1k": round(many.pages / max(few.pages, 1), 2),
        "heartbeats_known_per_s": round(cached_agents.rate),
        "heartbeats_at_registry_per_s": round(direct.rate),
        "feed_p50_ms": round(feed.p50_ms, 1),
        "list_p50_ms": round(page.p50_ms, 1),
        "list_all_http_s": round(whole_list, 2),
        "memory_mib": memory,
    }


# Population ──────────────────────────────────────────────────────────────────


async def _insert_population(connection: asyncpg.Connection) -> None:
    started_at = time.perf_counter()
    await population.insert_population(connection, [population.build_agent(number) for number in range(POPULATION)])
    _print_line(f"{POPULATION} workspaces written into the tables in {time.perf_counter() - started_at:.1f} s")
    await asyncio.sleep(FEED_WAIT_SECONDS)


# Heartbeats ──────────────────────────────────────────────────────────────────


async def _measure_burst(plane: Plane, label: str, *, address: str, agents: int) -> Sample:
    plan = LoadPlan(address=address, agents=agents, connections=CONNECTIONS, seconds=WARM_UP_SECONDS)
    await _send_heartbeats(plan)
    before = process_cost.measure_cpu_seconds(plane, PROCESSES)
    sample = await _send_heartbeats(replace(plan, seconds=BURST_SECONDS))
    after = process_cost.measure_cpu_seconds(plane, PROCESSES)
    micros = {name: (after[name] - before[name]) / sample.requests * 1_000_000 for name in PROCESSES}
    _print_line(f"heartbeats {label}: {sample.rate:.0f}/s, p50 {sample.p50_ms:.0f} p99 {sample.p99_ms:.0f} ms")
    _print_line(f"  microseconds of a heartbeat: {_format_values(micros, 0)}")
    return sample


async def _measure_steady_load(plane: Plane, channel: ServiceChannel) -> tuple[float, Sample]:
    """Measure the registry's share of a core under steady heartbeats and, under the same load, the feed."""
    seconds = STEADY_SECONDS + STATUS_CHANGES * CHANGE_INTERVAL_SECONDS + 5
    plan = LoadPlan(
        address=_get_port(plane), agents=POPULATION, connections=CONNECTIONS, seconds=seconds, rate=STEADY_RATE
    )
    heartbeats = asyncio.create_task(_send_heartbeats(plan))
    await asyncio.sleep(WARM_UP_SECONDS)
    before, started_at = process_cost.measure_cpu_seconds(plane, PROCESSES), time.perf_counter()
    await asyncio.sleep(STEADY_SECONDS)
    after, elapsed_seconds = process_cost.measure_cpu_seconds(plane, PROCESSES), time.perf_counter() - started_at
    shares = {name: (after[name] - before[name]) / elapsed_seconds for name in PROCESSES}
    _print_line(f"steady, {STEADY_RATE:.0f} heartbeats/s: shares of a core: {_format_values(shares, 3)}")
    feed = await _measure_feed(channel)
    sample = await heartbeats
    _print_line(f"  {sample.rate:.0f}/s were sent, p99 {sample.p99_ms:.1f} ms")
    shortfall = max(1.0, STEADY_RATE / sample.rate)  # above 1 if the machine could not send the whole rate
    return shares["registry"] * shortfall, feed


async def _measure_feed(channel: ServiceChannel) -> Sample:
    subscriber = Subscriber(channel)
    reading = asyncio.create_task(subscriber.read())
    feed = await subscriber.measure(
        [population.build_agent(number) for number in range(STATUS_CHANGES)], pause=CHANGE_INTERVAL_SECONDS
    )
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    _print_line(
        f"from a heartbeat that changes the status to a subscriber: p50 {feed.p50_ms:.1f} p99 {feed.p99_ms:.1f} ms"
    )
    return feed


async def _send_heartbeats(plan: LoadPlan) -> Sample:
    """Send heartbeats from their own process; return its result."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.heartbeats", json.dumps(asdict(plan)), stdout=asyncio.subprocess.PIPE
    )
    body, _ = await process.communicate()
    if process.returncode != 0:
        sys.exit("the agents were not answered as they should be")
    return Sample(**json.loads(body))


# Reading ─────────────────────────────────────────────────────────────────────


async def _measure_pages(channel: ServiceChannel) -> Sample:
    """Read pages of a hundred workspaces over the whole list, one after the other."""
    stub = rpc.RegistryServiceStub(channel.channel)
    operator = Identity(kind=Kind.ADMIN)
    durations: list[float] = []
    token = ""
    started_at = time.perf_counter()
    for _ in range(PAGE_REQUESTS):
        request_started_at = time.perf_counter()
        request = pb.ListWorkspacesRequest(page_size=100, page_token=token)
        reply = await channel.call(stub.ListWorkspaces, request, on_behalf_of=operator)
        durations.append(time.perf_counter() - request_started_at)
        token = reply.next_page_token
    sample = summarise(durations, time.perf_counter() - started_at)
    _print_line(
        f"a page of 100 of {POPULATION}, directly at the registry: p50 {sample.p50_ms:.1f} p99 {sample.p99_ms:.1f} ms"
    )
    return sample


async def _measure_whole_list(plane: Plane) -> float:
    """Read all workspaces with GET /workspaces, which has no pages."""
    started_at = time.perf_counter()
    answer = await plane.http.get("/workspaces", headers=plane.admin, timeout=60)
    elapsed_seconds = time.perf_counter() - started_at
    answer.raise_for_status()
    size = len(answer.content) / process_cost.MEBIBYTE
    _print_line(f"GET /workspaces, all {len(answer.json())} of them, {size:.0f} MiB: {elapsed_seconds:.2f} s")
    return elapsed_seconds


def _measure_memory(plane: Plane) -> dict[str, int]:
    memory = {
        name: round(size)
        for name, size in process_cost.measure_mebibytes(plane, PROCESSES).items()
        if name != "postgres"
    }
    _print_line(f"memory with {POPULATION} workspaces, MiB: {_format_values(memory, 0)}")
    return memory


# Import ──────────────────────────────────────────────────────────────────────


async def _measure_import(plane: Plane) -> float:
    """Import an organisation in one request: a root, its leads, and the members of each."""
    members = [_build_external(f"member {number}") for number in range(MEMBER_COUNT)]
    leads = [
        {**_build_external(f"lead {number}"), "children": members[number::LEAD_COUNT]} for number in range(LEAD_COUNT)
    ]
    root = {**_build_external("root"), "children": leads}
    body = {"template": {"name": "imported", "workspaces": [root]}}
    started_at = time.perf_counter()
    answer = await plane.http.post("/org/import", json=body, headers=plane.admin, timeout=60)
    elapsed_seconds = time.perf_counter() - started_at
    answer.raise_for_status()
    _print_line(f"an organisation of {answer.json()['count']} imported: {elapsed_seconds:.2f} s")
    return elapsed_seconds


def _build_external(name: str) -> dict[str, object]:
    return {"name": name, "external": True}


# Sweeps ──────────────────────────────────────────────────────────────────────


async def _compare_sweeps(server: str) -> tuple[SweepCost, SweepCost]:
    found = []
    for count in (FEW_WORKSPACES, MANY_WORKSPACES):
        found.append(await measure_sweeps(server, count))
        _print_line(
            f"sweeps over {count} healthy workspaces: {found[-1].milliseconds:.2f} ms, {found[-1].pages:.0f} pages"
        )
    few, many = found
    return few, many


def _get_port(plane: Plane) -> str:
    return str(urlsplit(plane.url).port)


def _format_values(values: dict[str, float] | dict[str, int], digits: int) -> str:
    return "   ".join(f"{name} {value:.{digits}f}" for name, value in values.items())


def _print_line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
