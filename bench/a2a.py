"""An A2A echo through the plane and past it, in one run: `python -m bench.a2a`; the last line is JSON.

Every process is the one that `make up` starts, activity goes to PostgreSQL, and the agent and the clients are as fast
as they can be, so what is measured is the plane. The clients take their share of the same cores.
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
"""Those whose time is told."""

MANY = 16
"""Connections of the run for throughput; one connection is the run for latency."""

WARM_UP = 3.0
"""Seconds of load that are not counted."""

RUN = 8.0
"""Seconds of each run that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number of connections: straight to the agent, and through the plane, with its time by process."""

    direct: Sample
    through: Sample
    micros: dict[str, float]


def main() -> None:
    """Measure, tell, and end with the figures."""
    asyncio.run(_main())


async def _main() -> None:
    async with _agent() as agent_port, Plane(backend="none", processes=True) as plane:
        path = await _target(plane, agent_port)
        port = int(plane.url.rpartition(":")[2])
        await _load(port, path, MANY, WARM_UP)
        one = await _measured(plane, agent_port, port, path, connections=1)
        many = await _measured(plane, agent_port, port, path, connections=MANY)
    _tell(1, one)
    _tell(MANY, many)
    print(
        json.dumps(
            {
                "requests_per_s": round(many.through.rate),
                "direct_requests_per_s": round(many.direct.rate),
                "ratio": round(many.through.rate / many.direct.rate, 3),
                "added_p50_ms": round(one.through.p50_ms - one.direct.p50_ms, 3),
                "added_p99_ms": round(one.through.p99_ms - one.direct.p99_ms, 3),
            }
        )
    )


@asynccontextmanager
async def _agent() -> AsyncIterator[int]:
    """The agent, for the length of the block; yields its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.agent", stdout=asyncio.subprocess.PIPE)
    try:
        yield int(await _line(process))
    finally:
        process.terminate()
        await process.wait()


async def _target(plane: Plane, agent_port: int) -> str:
    """Bring the agent into the plane; the path of its messages."""
    body = {"name": "bench", "runtime": "external", "external": True, "url": f"http://127.0.0.1:{agent_port}/"}
    answer = await plane.http.post("/workspaces", json=body, headers=plane.admin)
    answer.raise_for_status()
    return f"/workspaces/{answer.json()['id']}/a2a"


async def _measured(plane: Plane, agent_port: int, port: int, path: str, *, connections: int) -> Measured:
    direct = await _load(agent_port, "/", connections, RUN)
    before = process_cost.seconds(plane, PROCESSES)
    through = await _load(port, path, connections, RUN)
    after = process_cost.seconds(plane, PROCESSES)
    micros = {name: (after[name] - before[name]) / through.requests * 1_000_000 for name in PROCESSES}
    return Measured(direct=direct, through=through, micros=micros)


async def _load(port: int, path: str, connections: int, seconds: float) -> Sample:
    """A run of the clients, in a process of their own."""
    arguments = [str(port), path, str(connections), str(seconds)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", *arguments, stdout=asyncio.subprocess.PIPE
    )
    told = await _line(process)
    if await process.wait() != 0:
        sys.exit("the clients were not answered as they should be")
    return Sample(**json.loads(told))


async def _line(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    return await process.stdout.readline()


def _tell(connections: int, measured: Measured) -> None:
    print(f"{connections} connection{'s' if connections > 1 else ''}")
    for name, sample in (("direct", measured.direct), ("through the plane", measured.through)):
        print(f"  {name:18} {sample.rate:8.0f}/s   p50 {sample.p50_ms:7.3f} ms   p99 {sample.p99_ms:7.3f} ms")
    shares = "   ".join(f"{name} {micros:.0f}" for name, micros in measured.micros.items())
    print(f"  processor time of a request, in microseconds: {shares}")


if __name__ == "__main__":
    main()
