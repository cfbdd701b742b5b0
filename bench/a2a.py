"""Measures an A2A echo through the plane and directly: `python -m bench.a2a`; the last line is JSON.

The processes are those that `make up` starts, and activity is written to PostgreSQL. The agent and the clients do as
little as possible, so the figures show the cost of the plane. The clients share the cores with the plane.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench import process_cost
from bench.load import Sample
from deploy.plane import Plane

PROCESSES = ("gateway", "a2a_proxy", "postgres", "registry", "auth")
"""Processes whose processor time is printed."""

MANY_CONNECTIONS = 16
"""Connections of the throughput run; the latency run uses one."""

MAX_TASKS = 4 * MANY_CONNECTIONS
"""Tasks that the agent takes at a time: more than there are connections, so no message is queued."""

WARM_UP_SECONDS = 3.0
"""Seconds of load that are not counted."""

RUN_SECONDS = 8.0
"""Seconds of each run that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The results for one number of connections: directly, through the plane, and microseconds of each process."""

    direct: Sample
    through: Sample
    micros: dict[str, float]


def main() -> None:
    """Measure, and print the results."""
    asyncio.run(_main())


async def _main() -> None:
    async with run_agent() as agent_port, Plane(backend="none", processes=True) as plane:
        path = await _create_target(plane, agent_port)
        port = int(plane.url.rpartition(":")[2])
        await run_clients(port, path, MANY_CONNECTIONS, WARM_UP_SECONDS)
        one_run = await _measure(plane, agent_port, port, path, connections=1)
        many_run = await _measure(plane, agent_port, port, path, connections=MANY_CONNECTIONS)
    _print_run(1, one_run)
    _print_run(MANY_CONNECTIONS, many_run)
    print(
        json.dumps(
            {
                "requests_per_s": round(many_run.through.rate),
                "direct_requests_per_s": round(many_run.direct.rate),
                "ratio": round(many_run.through.rate / many_run.direct.rate, 3),
                "added_p50_ms": round(one_run.through.p50_ms - one_run.direct.p50_ms, 3),
                "added_p99_ms": round(one_run.through.p99_ms - one_run.direct.p99_ms, 3),
            }
        )
    )


@asynccontextmanager
async def run_agent(*arguments: str) -> AsyncIterator[int]:
    """Run the agent for the length of the block; yields its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.agent", *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield int(await _read_line(process))
    finally:
        process.terminate()
        await process.wait()


async def _create_target(plane: Plane, agent_port: int) -> str:
    """Create a workspace for the agent; return the path for its messages."""
    body = {
        "name": "bench",
        "runtime": "external",
        "external": True,
        "url": f"http://127.0.0.1:{agent_port}/",
        "max_concurrent_tasks": MAX_TASKS,
    }
    answer = await plane.http.post("/workspaces", json=body, headers=plane.admin)
    answer.raise_for_status()
    return f"/workspaces/{answer.json()['id']}/a2a"


async def _measure(plane: Plane, agent_port: int, port: int, path: str, *, connections: int) -> Measurement:
    direct = await run_clients(agent_port, "/", connections, RUN_SECONDS)
    before = process_cost.measure_cpu_seconds(plane, PROCESSES)
    through = await run_clients(port, path, connections, RUN_SECONDS)
    after = process_cost.measure_cpu_seconds(plane, PROCESSES)
    micros = {name: (after[name] - before[name]) / through.requests * 1_000_000 for name in PROCESSES}
    return Measurement(direct=direct, through=through, micros=micros)


async def run_clients(port: int, path: str, connections: int, seconds: float) -> Sample:
    """Run the clients in their own process; return their result."""
    arguments = [str(port), path, str(connections), str(seconds)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output = await _read_line(process)
    if await process.wait() != 0:
        sys.exit("the clients were not answered as they should be")
    return Sample(**json.loads(output))


async def _read_line(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    return await process.stdout.readline()


def _print_run(connections: int, measurement: Measurement) -> None:
    print(f"{connections} connection{'s' if connections > 1 else ''}")
    for name, sample in (("direct", measurement.direct), ("through the plane", measurement.through)):
        print(f"  {name:18} {sample.rate:8.0f}/s   p50 {sample.p50_ms:7.3f} ms   p99 {sample.p99_ms:7.3f} ms")
    shares = "   ".join(f"{name} {micros:.0f}" for name, micros in measurement.micros.items())
    print(f"  processor time of a request, in microseconds: {shares}")


if __name__ == "__main__":
    main()
