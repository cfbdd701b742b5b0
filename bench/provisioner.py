"""Measures the start of agents: `python -m bench.provisioner`; the last line is JSON. docs/performance.md explains it.

The processes are those that `make up` starts, with the process backend. One workspace at a time shows how long a start
takes; fifty at once show whether all of them come up, and what the API does meanwhile.
"""

import asyncio
import json
import statistics
import sys
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench import process_cost
from deploy.layout import Layout
from deploy.plane import Plane
from services.provisioner import plan
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.model import Credentials, DesiredInstance, DesiredState, Spec, WorkspaceId

PROCESSES = ("gateway", "registry", "auth", "postgres", "a2a_proxy", "provisioner")
"""Processes whose processor time is measured while nothing happens."""

SINGLE_STARTS = 9
"""Workspaces that are created one after the other."""

CROWD = 50
"""Workspaces that are created at once."""

CROWD_TIMEOUT = timedelta(minutes=5)
"""How long the fifty may take."""

PROBE_INTERVAL_SECONDS = 0.05
"""Seconds between two requests of the API that are measured meanwhile."""

POLL_INTERVAL_SECONDS = 0.02
"""Seconds between two looks at the status of a workspace."""

SETTLE_SECONDS = 35.0
"""Seconds until every agent has sent its first heartbeat after the start."""

IDLE_SECONDS = 20.0
"""Seconds for which the share of a core is measured while nothing happens."""

INSTANCES_COMPARED = 1_000
"""Healthy instances of the measured comparison."""


def main() -> None:
    """Measure, and print the results."""
    asyncio.run(_main())


async def _main() -> None:
    compare_seconds, backend_calls = await _measure_comparison()
    print(
        f"comparison of {INSTANCES_COMPARED} healthy instances: {compare_seconds * 1000:.0f} ms, {backend_calls} call"
    )
    with TemporaryDirectory(prefix="molecule-bench-") as scratch:
        layout = Layout.for_home(Path(scratch) / "home")
        async with Plane(backend="process", processes=True, home=layout.home, env={"RATE_LIMIT": "1000000"}) as plane:
            figures = await _measure(plane)
    print(json.dumps(figures | {"compare_1000_s": round(compare_seconds, 3)}))


async def _measure(plane: Plane) -> dict[str, float | None]:
    before = await _measure_idle_share(plane, settle_seconds=5)
    singles = [await _measure_start(plane, f"single-{number}") for number in range(SINGLE_STARTS)]
    print(f"create to online, one at a time: p50 {statistics.median(singles):.2f} s, slowest {max(singles):.2f} s")
    seconds, online, latencies = await _measure_crowd(plane)
    p99 = _find_percentile(latencies, 0.99)
    print(f"{CROWD} at once: {online} online after {seconds:.1f} s")
    print(f"  the API meanwhile: p50 {statistics.median(latencies):.0f} p99 {p99:.0f} ms")
    share = await _measure_idle_share(plane, settle_seconds=SETTLE_SECONDS)
    print(f"idle: {before:.3f} of a core without agents, {share:.3f} with {online + SINGLE_STARTS}")
    return {
        "process_create_p50_s": round(statistics.median(singles), 3),
        "docker_create_p50_s": None,
        "docker_run_p50_s": None,
        "fifty_online_s": round(seconds, 2) if online == CROWD else None,
        "api_p99_ms_meanwhile": round(p99, 1),
        "idle_cpu_share": round(share, 4),
        "idle_cpu_share_without_agents": round(before, 4),
    }


async def _measure_start(plane: Plane, name: str) -> float:
    """Return the seconds from the request that creates a workspace until it is online."""
    started_at = time.perf_counter()
    workspace_id = await _create(plane, name)
    while await _read_status(plane, workspace_id) != "online":  # noqa: ASYNC110 - the status is in another process
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
    return time.perf_counter() - started_at


async def _measure_crowd(plane: Plane) -> tuple[float, int, list[float]]:
    """Create many workspaces at once; return the seconds until all are up, how many are, and API latencies in ms."""
    latencies: list[float] = []
    probing = asyncio.create_task(_probe_api(plane, latencies))
    started_at = time.perf_counter()
    created = await asyncio.gather(*(_create(plane, f"crowd-{number}") for number in range(CROWD)))
    statuses: dict[str, str] = {}
    while time.perf_counter() - started_at < CROWD_TIMEOUT.total_seconds():
        answer = await plane.http.get("/workspaces", headers=plane.admin)
        answer.raise_for_status()
        statuses = {one["id"]: one["status"] for one in answer.json() if one["id"] in set(created)}
        if all(status in {"online", "failed"} for status in statuses.values()):
            break
        await asyncio.sleep(0.2)
    seconds = time.perf_counter() - started_at
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    return seconds, list(statuses.values()).count("online"), latencies


async def _probe_api(plane: Plane, latencies: list[float]) -> None:
    while True:
        started_at = time.perf_counter()
        answer = await plane.http.get("/workspaces?limit=10", headers=plane.admin)
        answer.raise_for_status()
        latencies.append((time.perf_counter() - started_at) * 1000)
        await asyncio.sleep(PROBE_INTERVAL_SECONDS)


async def _measure_idle_share(plane: Plane, *, settle_seconds: float) -> float:
    """Return the share of a core that the provisioner uses while nothing happens."""
    await asyncio.sleep(settle_seconds)
    before, started_at = _measure_cpu_seconds(plane), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    after, elapsed = _measure_cpu_seconds(plane), time.perf_counter() - started_at
    shares = {name: (after[name] - before[name]) / elapsed for name in PROCESSES}
    print("  shares of a core: " + ", ".join(f"{name} {share:.3f}" for name, share in shares.items()))
    return shares["provisioner"]


def _measure_cpu_seconds(plane: Plane) -> dict[str, float]:
    """Return the processor time of each process; agents are children of the provisioner and do not count as such."""
    seconds = process_cost.measure_cpu_seconds(plane, PROCESSES)
    times = psutil.Process(plane.pid("provisioner")).cpu_times()
    return seconds | {"provisioner": times.user + times.system}


async def _measure_comparison() -> tuple[float, int]:
    """Return the seconds of one comparison of healthy instances in memory, and how often it asks the backend."""
    backend, desired = FakeBackend(), []
    for number in range(INSTANCES_COMPARED):
        workspace_id = WorkspaceId(f"workspace-{number}")
        spec = Spec(
            workspace_id=workspace_id, generation=1, environment=(), credentials=Credentials("token", "inbound")
        )
        started = await backend.start(spec)
        desired.append(
            DesiredInstance(
                workspace_id=workspace_id, generation=1, state=DesiredState.RUNNING, reference=started.reference
            )
        )
    started_at = time.perf_counter()
    instances = {instance.workspace_id: instance for instance in await backend.list()}
    due = [
        one
        for one in desired
        if plan.choose_fact(one, instances[one.workspace_id])
        or plan.choose_step(one, instances[one.workspace_id]) is not plan.Step.NOTHING
    ]
    if due:
        sys.exit("a healthy instance needs work")
    return time.perf_counter() - started_at, 1


async def _create(plane: Plane, name: str) -> str:
    answer = await plane.http.post("/workspaces", json={"name": name, "runtime": "echo"}, headers=plane.admin)
    answer.raise_for_status()
    return str(answer.json()["id"])


async def _read_status(plane: Plane, workspace_id: str) -> str:
    answer = await plane.http.get(f"/workspaces/{workspace_id}", headers=plane.admin)
    answer.raise_for_status()
    return str(answer.json()["status"])


def _find_percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


if __name__ == "__main__":
    main()
