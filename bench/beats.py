"""Agents that beat: `python -m bench.beats` plays many of them over few connections, and prints what they saw.

Each connection carries its share of the agents in turn, one heartbeat at a time. Over gRPC they speak to the registry
as a gateway does, so that nothing stands in front of it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import cycle

import uvloop

from bench.crowd import Agent, agent
from bench.load import Sample, sampled
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.identity import Identity, Kind

UPTIME = 3600

Beat = Callable[[Agent], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the process is to do; its one argument, as JSON."""

    where: str
    """The port of a gateway, or the address of a registry (`unix:...`)."""
    agents: int
    connections: int
    seconds: float
    rate: float = 0.0
    """Heartbeats a second over all connections together; 0 is as fast as they are answered."""


class Connection(asyncio.Protocol):
    """One HTTP connection: a request, then its answer."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank or self._answer is None:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._received = b""
            self._answer.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    async def beat(self, one: Agent) -> None:
        """One heartbeat, and the end of everything where it is not taken."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(_request(one))
        head = await self._answer
        if not head.startswith(b"HTTP/1.1 200"):
            sys.exit(head.decode())

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Pace:
    """When a connection beats: not before its turn, and not after the end."""

    first: float
    pause: float
    until: float


async def run(beats: list[Beat], orders: Orders) -> Sample:
    """Beat over all connections for as long as ordered."""
    agents = [agent(number) for number in range(orders.agents)]
    took: list[float] = []
    began = time.perf_counter()
    pause = len(beats) / orders.rate if orders.rate else 0.0
    async with asyncio.TaskGroup() as group:
        for number, beat in enumerate(beats):
            pace = Pace(began + pause * number / len(beats), pause, began + orders.seconds)
            group.create_task(_beating(beat, cycle(agents[number :: len(beats)]), pace, took))
    return sampled(took, time.perf_counter() - began)


async def _beating(beat: Beat, turns: Iterator[Agent], pace: Pace, took: list[float]) -> None:
    """Late heartbeats are not caught up with: an agent sleeps from one to the next."""
    due = pace.first
    while (now := time.perf_counter()) < pace.until:
        if due > now:
            await asyncio.sleep(due - now)
        began = time.perf_counter()
        await beat(next(turns))
        took.append(time.perf_counter() - began)
        due = max(due + pace.pause, began)


def _request(one: Agent) -> bytes:
    body = (
        f'{{"workspace_id":"{one.workspace_id}","error_rate":0,"sample_error":"","active_tasks":0,'
        f'"current_task":"","uptime_seconds":{UPTIME + one.number}}}'
    )
    return (
        "POST /registry/heartbeat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {one.token.text}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _over_http(port: int, connections: int, standing: AsyncExitStack) -> list[Beat]:
    beats: list[Beat] = []
    for _ in range(connections):
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        standing.callback(connection.close)
        beats.append(connection.beat)
    return beats


async def _over_grpc(address: str, connections: int, standing: AsyncExitStack) -> list[Beat]:
    line = await standing.enter_async_context(clients.dialled(address, speaker="gateway"))
    stub = rpc.RegistryServiceStub(line.channel)

    async def beat(one: Agent) -> None:
        request = pb.HeartbeatRequest(workspace_id=one.workspace_id, uptime_seconds=UPTIME + one.number)
        caller = Identity(kind=Kind.WORKSPACE, name=one.workspace_id)
        await line.ask(stub.Heartbeat, request, on_behalf_of=caller)

    return [beat] * connections


async def _main(orders: Orders) -> None:
    async with AsyncExitStack() as standing:
        if orders.where.startswith("unix:"):
            beats = await _over_grpc(orders.where, orders.connections, standing)
        else:
            beats = await _over_http(int(orders.where), orders.connections, standing)
        print(json.dumps(asdict(await run(beats, orders))))


if __name__ == "__main__":
    uvloop.run(_main(Orders(**json.loads(sys.argv[1]))))
