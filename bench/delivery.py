"""Measures the queue: `python -m bench.delivery --minutes 30`; the last line is JSON.

One agent reports that it has no room, so all messages for it are accepted. Then it reports room, and the queue is
drained to it. The rates are compared with direct messages to the same agent in the same run. Afterwards messages are
accepted and delivered at a steady rate, and the growth of each process is measured.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import process_cost
from bench.a2a import run_agent, run_clients
from bench.load import Sample
from bench.queue_load import QueueLoadPlan
from deploy.plane import Plane

PROCESSES = ("gateway", "a2a_proxy", "registry", "auth", "provisioner")
"""Processes whose memory is measured."""

CPU_PROCESSES = ("gateway", "a2a_proxy", "postgres")

MESSAGES = 10_000

CONNECTIONS = 64

SLOTS = 32
"""Tasks that the agent takes at a time."""

TASKS_WITHOUT_ROOM = 10 * SLOTS
"""Tasks that the agent reports when it has no room; the plane subtracts those that it gave to the agent itself."""

DIRECT_CONNECTIONS = 16

DIRECT_SECONDS = 5.0

STEADY_RATE = 150.0
"""Messages a second while the growth of memory is measured."""

SETTLING_SECONDS = 20.0
"""Seconds of the steady load before memory is measured: caches fill, and the garbage of the bursts is collected."""

SAMPLE_SECONDS = 2.0

POLL_SECONDS = 0.05

ENVIRONMENT = {"RATE_LIMIT": "1000000000", "REMOTE_LIVENESS_STALE_AFTER": "86400"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchTarget:
    """The workspace of the agent."""

    id: str
    token: str
    path: str


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the steady load; 0 leaves it out")
    asyncio.run(_measure(parser.parse_args().minutes))


async def _measure(minutes: float) -> None:
    with tempfile.TemporaryDirectory(prefix="molecule-bench-") as directory:
        record = Path(directory) / "arrivals"
        async with (
            run_agent(str(record)) as agent_port,
            Plane(backend="none", env=ENVIRONMENT, processes=True) as plane,
        ):
            target = await _create_target(plane, agent_port)
            port = int(plane.url.rpartition(":")[2])
            direct = await run_clients(port, target.path, DIRECT_CONNECTIONS, DIRECT_SECONDS)
            _print(f"direct messages through the plane: {direct.rate:.0f}/s")
            direct_arrivals = len(record.read_bytes().splitlines())
            accepting = await _measure_accepting(plane, target, port)
            draining = await _measure_draining(plane, target)
            slope = await _measure_memory(plane, target, port, minutes * 60) if minutes else 0.0
            accounts = await _read_accounts(plane)
            arrivals = Counter(record.read_bytes().splitlines()[direct_arrivals:])
    _print(f"accounts: {accounts}")
    summary = {
        "accept_per_s": round(accepting.rate),
        "drain_per_s": round(draining),
        "lost": accounts["accepted"] - len(arrivals),
        "duplicates": sum(arrivals.values()) - len(arrivals),
        "memory_slope_mib_per_hour": round(slope, 1),
        "direct_per_s": round(direct.rate),
        "accept_ratio": round(accepting.rate / direct.rate, 3),
        "drain_ratio": round(draining / direct.rate, 3),
        "accepted": accounts["accepted"],
        "completed": accounts["completed"],
        "balanced": accounts["balanced"],
        "minutes": minutes,
    }
    _print(json.dumps(summary))


async def _create_target(plane: Plane, agent_port: int) -> BenchTarget:
    body = {
        "name": "bench",
        "runtime": "external",
        "external": True,
        "url": f"http://127.0.0.1:{agent_port}/",
        "max_concurrent_tasks": SLOTS,
    }
    answer = await plane.http.post("/workspaces", json=body, headers=plane.admin)
    answer.raise_for_status()
    created = answer.json()
    return BenchTarget(
        id=created["id"], token=created["connection"]["auth_token"], path=f"/workspaces/{created['id']}/a2a"
    )


async def _measure_accepting(plane: Plane, target: BenchTarget, port: int) -> Sample:
    """Send messages for an agent without room, as fast as they are accepted."""
    await _send_heartbeat(plane, target, active_tasks=TASKS_WITHOUT_ROOM)
    before = process_cost.measure_cpu_seconds(plane, CPU_PROCESSES)
    plan = QueueLoadPlan(
        port=port, path=target.path, name="burst", messages=MESSAGES, connections=CONNECTIONS, prefer=""
    )
    sample = await _send(plan)
    after = process_cost.measure_cpu_seconds(plane, CPU_PROCESSES)
    _print(f"accepted: {sample.rate:.0f}/s, p50 {sample.p50_ms:.1f} ms, p99 {sample.p99_ms:.1f} ms")
    _print_micros(before, after)
    return sample


async def _measure_draining(plane: Plane, target: BenchTarget) -> float:
    """Report room, and return the messages a second until all are completed."""
    before = process_cost.measure_cpu_seconds(plane, CPU_PROCESSES)
    started_at = time.perf_counter()
    await _send_heartbeat(plane, target, active_tasks=0)
    await _wait_for_empty_queue(plane)
    rate = MESSAGES / (time.perf_counter() - started_at)
    _print(f"drained: {rate:.0f}/s to an agent that takes {SLOTS} tasks at a time")
    _print_micros(before, process_cost.measure_cpu_seconds(plane, CPU_PROCESSES))
    return rate


async def _measure_memory(plane: Plane, target: BenchTarget, port: int, seconds: float) -> float:
    """Send at a steady rate; return the largest growth of a process in MiB an hour."""
    plan = QueueLoadPlan(
        port=port,
        path=target.path,
        name="steady",
        messages=round(STEADY_RATE * (SETTLING_SECONDS + seconds)),
        connections=8,
        prefer="respond-async",
        rate=STEADY_RATE,
    )
    samples: list[tuple[float, dict[str, float]]] = []
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_send(plan))
        await asyncio.sleep(SETTLING_SECONDS)
        started_at = time.perf_counter()
        while not sending.done():
            samples.append((time.perf_counter() - started_at, process_cost.measure_mebibytes(plane, PROCESSES)))
            await asyncio.sleep(SAMPLE_SECONDS)
    await _wait_for_empty_queue(plane)
    slopes = {name: _fit_slope([(at, memory[name]) for at, memory in samples]) * 3600 for name in PROCESSES}
    for name, slope in slopes.items():
        _print(f"  memory of {name}: {samples[0][1][name]:.1f} to {samples[-1][1][name]:.1f} MiB, {slope:+.1f} an hour")
    return max(slopes.values())


def _fit_slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line with the least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


async def _send(plan: QueueLoadPlan) -> Sample:
    """Run the clients in their own process; return their result."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.queue_load", json.dumps(asdict(plan)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        sys.exit("the clients were not answered as they should be")
    return Sample(**json.loads(output))


async def _send_heartbeat(plane: Plane, target: BenchTarget, *, active_tasks: int) -> None:
    body = {"workspace_id": target.id, "active_tasks": active_tasks}
    headers = {"Authorization": f"Bearer {target.token}"}
    answer = await plane.http.post("/registry/heartbeat", json=body, headers=headers)
    answer.raise_for_status()


async def _read_accounts(plane: Plane) -> dict[str, int]:
    answer = await plane.http.get("/admin/a2a-queue/accounts", headers=plane.admin, timeout=30)
    answer.raise_for_status()
    total: dict[str, int] = answer.json()["total"]
    return total


async def _wait_for_empty_queue(plane: Plane) -> None:
    while True:
        accounts = await _read_accounts(plane)
        if not accounts["queued"] + accounts["dispatching"]:
            return
        await asyncio.sleep(POLL_SECONDS)


def _print_micros(before: dict[str, float], after: dict[str, float]) -> None:
    shares = "   ".join(f"{name} {(after[name] - before[name]) / MESSAGES * 1_000_000:.0f}" for name in CPU_PROCESSES)
    _print(f"  processor time of a message, in microseconds: {shares}")


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
