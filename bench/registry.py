"""The registry under load: `python -m bench.registry`; the last line is JSON. docs/performance.md says what it means.

Every process is the one that `make up` starts. The agents are played by processes of their own, which take their share
of the same cores.
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
from bench.load import Sample, run_load
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
"""Those whose time and memory are told."""

POPULATION = 10_000
"""Workspaces registered, all of them online."""

CACHED_AGENTS = 200
"""Agents of the burst in which the gateway remembers everybody."""

CONNECTIONS = 128
"""Over which agents beat."""

BURST = 8.0
"""Seconds of each burst, after as many as `WARM_UP` that are not counted."""

WARM_UP = 2.0

SETTLING = 4.0
"""Seconds in which the feed tells everybody of the crowd."""

STEADY = POPULATION / 30
"""Heartbeats a second where each agent beats every 30 seconds."""

STEADY_FOR = 20.0
"""Seconds for which the registry's share of a core is measured."""

FALLS = 300
"""Agents that fall ill and recover while a subscriber watches, under steady heartbeats."""

FALL_EVERY = 0.04
"""Seconds between two of them."""

PAGES = 300
"""Pages of a hundred that are read."""

LEADS, MEMBERS = 11, 188
"""Of the organisation that is imported: with its root, two hundred workspaces."""

FEW, MANY = 1_000, 50_000
"""Healthy workspaces that the sweeps look at."""


def main() -> None:
    """Measure, tell, and end with the figures."""
    asyncio.run(_main())


async def _main() -> None:
    with TemporaryDirectory(prefix="molecule-bench-") as scratch:
        layout = Layout.for_home(Path(scratch) / "home")
        async with Plane(backend="none", processes=True, home=layout.home) as plane:
            figures = await _measured(plane, layout)
    print(json.dumps(figures))


async def _measured(plane: Plane, layout: Layout) -> dict[str, object]:
    server = f"postgresql://{postgres.SUPERUSER}@/{postgres.DATABASE}?host={layout.database_sockets}"
    face = f"unix:{layout.socket('registry')}"
    connection = await asyncpg.connect(server)
    async with clients.open_channel(face, caller_service="gateway") as line:
        await _settle(connection)
        everybody = await _burst(plane, "through the gateway, everybody in turn", where=_port(plane), agents=POPULATION)
        known = await _burst(plane, "through the gateway, known agents", where=_port(plane), agents=CACHED_AGENTS)
        bare = await _burst(plane, "at the registry's face", where=face, agents=POPULATION)
        await population.refresh_vitals(connection)
        share, feed = await _steady(plane, line)
        page = await _pages(line)
        whole = await _whole(plane)
        memory = _memory(plane)
        imported = await _import(plane)
    await connection.close()
    few, many = await _sweeps(server)
    return {
        "heartbeats_per_s": round(everybody.rate),
        "feed_p99_ms": round(feed.p99_ms, 1),
        "list_p99_ms": round(page.p99_ms, 1),
        "import_200_s": round(imported, 2),
        "cpu_share_10k": round(share, 3),
        "sweep_ratio_50k_to_1k": round(many.milliseconds / few.milliseconds, 2),
        "sweep_pages_ratio_50k_to_1k": round(many.pages / max(few.pages, 1), 2),
        "heartbeats_known_per_s": round(known.rate),
        "heartbeats_at_registry_per_s": round(bare.rate),
        "feed_p50_ms": round(feed.p50_ms, 1),
        "list_p50_ms": round(page.p50_ms, 1),
        "list_all_http_s": round(whole, 2),
        "memory_mib": memory,
    }


# The crowd ───────────────────────────────────────────────────────────────────


async def _settle(connection: asyncpg.Connection) -> None:
    began = time.perf_counter()
    await population.insert_population(connection, [population.build_agent(number) for number in range(POPULATION)])
    _say(f"{POPULATION} workspaces written into the tables in {time.perf_counter() - began:.1f} s")
    await asyncio.sleep(SETTLING)


# Heartbeats ──────────────────────────────────────────────────────────────────


async def _burst(plane: Plane, what: str, *, where: str, agents: int) -> Sample:
    orders = LoadPlan(where=where, agents=agents, connections=CONNECTIONS, seconds=WARM_UP)
    await _beaten(orders)
    before = process_cost.seconds(plane, PROCESSES)
    sample = await _beaten(replace(orders, seconds=BURST))
    after = process_cost.seconds(plane, PROCESSES)
    micros = {name: (after[name] - before[name]) / sample.requests * 1_000_000 for name in PROCESSES}
    _say(f"heartbeats {what}: {sample.rate:.0f}/s, p50 {sample.p50_ms:.0f} p99 {sample.p99_ms:.0f} ms")
    _say(f"  microseconds of a heartbeat: {_shown(micros, 0)}")
    return sample


async def _steady(plane: Plane, line: ServiceChannel) -> tuple[float, Sample]:
    """The registry's share of a core under steady heartbeats; then, under the same, how soon news is news."""
    seconds = STEADY_FOR + FALLS * FALL_EVERY + 5
    orders = LoadPlan(where=_port(plane), agents=POPULATION, connections=CONNECTIONS, seconds=seconds, rate=STEADY)
    beating = asyncio.create_task(_beaten(orders))
    await asyncio.sleep(WARM_UP)
    before, began = process_cost.seconds(plane, PROCESSES), time.perf_counter()
    await asyncio.sleep(STEADY_FOR)
    after, spent = process_cost.seconds(plane, PROCESSES), time.perf_counter() - began
    shares = {name: (after[name] - before[name]) / spent for name in PROCESSES}
    _say(f"steady, {STEADY:.0f} heartbeats/s: shares of a core: {_shown(shares, 3)}")
    feed = await _news(line)
    sample = await beating
    _say(f"  {sample.rate:.0f}/s were sent, p99 {sample.p99_ms:.1f} ms")
    return shares["registry"] * max(1.0, STEADY / sample.rate), feed  # a busy machine is no excuse


async def _news(line: ServiceChannel) -> Sample:
    subscriber = Subscriber(line)
    reading = asyncio.create_task(subscriber.read())
    feed = await subscriber.took([population.build_agent(number) for number in range(FALLS)], pause=FALL_EVERY)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    _say(f"from a heartbeat that changes the status to a subscriber: p50 {feed.p50_ms:.1f} p99 {feed.p99_ms:.1f} ms")
    return feed


async def _beaten(orders: LoadPlan) -> Sample:
    """A run of agents, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.heartbeats", json.dumps(asdict(orders)), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode != 0:
        sys.exit("the agents were not answered as they should be")
    return Sample(**json.loads(told))


# Reading ─────────────────────────────────────────────────────────────────────


async def _pages(line: ServiceChannel) -> Sample:
    """Pages of a hundred all over the list, one after the other."""
    stub = rpc.RegistryServiceStub(line.channel)
    operator = Identity(kind=Kind.ADMIN)
    took: list[float] = []
    token = ""
    began = time.perf_counter()
    for _ in range(PAGES):
        asked = time.perf_counter()
        request = pb.ListWorkspacesRequest(page_size=100, page_token=token)
        reply = await line.call(stub.ListWorkspaces, request, on_behalf_of=operator)
        took.append(time.perf_counter() - asked)
        token = reply.next_page_token
    sample = run_load(took, time.perf_counter() - began)
    _say(f"a page of 100 of {POPULATION}, at the registry's face: p50 {sample.p50_ms:.1f} p99 {sample.p99_ms:.1f} ms")
    return sample


async def _whole(plane: Plane) -> float:
    """GET /workspaces, which has no pages: all of them."""
    began = time.perf_counter()
    answer = await plane.http.get("/workspaces", headers=plane.admin, timeout=60)
    spent = time.perf_counter() - began
    answer.raise_for_status()
    size = len(answer.content) / process_cost.MEBIBYTE
    _say(f"GET /workspaces, all {len(answer.json())} of them, {size:.0f} MiB: {spent:.2f} s")
    return spent


def _memory(plane: Plane) -> dict[str, int]:
    held = {name: round(size) for name, size in process_cost.mebibytes(plane, PROCESSES).items() if name != "postgres"}
    _say(f"memory with {POPULATION} workspaces, MiB: {_shown(held, 0)}")
    return held


# Making ──────────────────────────────────────────────────────────────────────


async def _import(plane: Plane) -> float:
    """An organisation of so many in one request: a root, its leads, and the members of each."""
    members = [_external(f"member {number}") for number in range(MEMBERS)]
    leads = [{**_external(f"lead {number}"), "children": members[number::LEADS]} for number in range(LEADS)]
    root = {**_external("root"), "children": leads}
    body = {"template": {"name": "imported", "workspaces": [root]}}
    began = time.perf_counter()
    answer = await plane.http.post("/org/import", json=body, headers=plane.admin, timeout=60)
    spent = time.perf_counter() - began
    answer.raise_for_status()
    _say(f"an organisation of {answer.json()['count']} imported: {spent:.2f} s")
    return spent


def _external(name: str) -> dict[str, object]:
    return {"name": name, "external": True}


# Sweeping ────────────────────────────────────────────────────────────────────


async def _sweeps(server: str) -> tuple[SweepCost, SweepCost]:
    found = []
    for count in (FEW, MANY):
        found.append(await measure_sweeps(server, count))
        _say(f"sweeps over {count} healthy workspaces: {found[-1].milliseconds:.2f} ms, {found[-1].pages:.0f} pages")
    few, many = found
    return few, many


def _port(plane: Plane) -> str:
    return str(urlsplit(plane.url).port)


def _shown(values: dict[str, float] | dict[str, int], digits: int) -> str:
    return "   ".join(f"{name} {value:.{digits}f}" for name, value in values.items())


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
