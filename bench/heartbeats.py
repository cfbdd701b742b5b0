"""Agents that beat: `python -m bench.heartbeats` plays many of them over few connections, and prints what they saw.

Each connection carries its share of the agents in turn, one heartbeat at a time. Over gRPC they speak to the registry
as a gateway does, so that nothing stands in front of it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle

import uvloop

from bench.load import run_load
from bench.population import Agent, build_agent
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind

UPTIME = 3600

ANSWER = b'{"status":"ok"}'
"""What a heartbeat is answered, to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What the process is to do; its one argument, as JSON."""

    where: str
    """The port of a gateway, or the address of a registry (`unix:...`)."""
    agents: int
    connections: int
    seconds: float
    rate: float = 0.0
    """Heartbeats a second over all connections together; 0 is as fast as they are answered."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When a connection beats: not before its turn, and not after the end."""

    first: float
    pause: float
    until: float


class Connection(asyncio.Protocol):
    """One HTTP connection: a request, its answer, the next. It does as little as it can: the cores are shared."""

    def __init__(self, requests: Iterator[bytes], pace: Pace, took: list[float]) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._pace = pace
        self._took = took
        self._began = 0.0
        self._answer = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._beat_at(self._pace.first)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(ANSWER):
            if b"\r\n" in self._answer and not self._answer.startswith(b"HTTP/1.1 200"):
                sys.exit(self._answer.decode())
            return
        self._answer = b""
        self._took.append(time.perf_counter() - self._began)
        self._beat_at(self._began + self._pace.pause)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionResetError())

    def _beat_at(self, due: float) -> None:
        """Late heartbeats are not caught up with: an agent sleeps from one to the next."""
        now = time.perf_counter()
        if max(now, due) >= self._pace.until:
            self.over.set_result(None)
            self._transport.close()
        elif due > now:
            asyncio.get_running_loop().call_later(due - now, self._beat)
        else:
            self._beat()

    def _beat(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(next(self._requests))


def _paces(orders: LoadPlan) -> list[Pace]:
    """A connection's share each: they begin evenly one after the other."""
    pause = orders.connections / orders.rate if orders.rate else 0.0
    began = time.perf_counter()
    return [
        Pace(began + pause * number / orders.connections, pause, began + orders.seconds)
        for number in range(orders.connections)
    ]


def _shares(orders: LoadPlan) -> list[list[Agent]]:
    """The agents that each connection speaks for."""
    agents = [build_agent(number) for number in range(orders.agents)]
    return [agents[number :: orders.connections] for number in range(orders.connections)]


def _request(one: Agent) -> bytes:
    body = (
        f'{{"workspace_id":"{one.workspace_id}","error_rate":0,"sample_error":"","active_tasks":0,'
        f'"current_task":"","uptime_seconds":{UPTIME + one.number}}}'
    )
    return (
        "POST /registry/heartbeat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {one.token.text}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _over_http(orders: LoadPlan) -> list[float]:
    took: list[float] = []
    shares = [[_request(one) for one in share] for share in _shares(orders)]
    made = []
    for share, pace in zip(shares, _paces(orders), strict=True):
        connection = Connection(cycle(share), pace, took)
        await asyncio.get_running_loop().create_connection(lambda one=connection: one, "127.0.0.1", int(orders.where))  # type: ignore[misc]
        made.append(connection.over)
    await asyncio.gather(*made)
    return took


async def _over_grpc(orders: LoadPlan) -> list[float]:
    took: list[float] = []
    shares = _shares(orders)
    async with clients.open_channel(orders.where, caller_service="gateway") as line, asyncio.TaskGroup() as group:
        for share, pace in zip(shares, _paces(orders), strict=True):
            group.create_task(_beating(line, cycle(share), pace, took))
    return took


async def _beating(line: ServiceChannel, turns: Iterator[Agent], pace: Pace, took: list[float]) -> None:
    """One after the other, as fast as they are answered."""
    stub = rpc.RegistryServiceStub(line.channel)
    while (began := time.perf_counter()) < pace.until:
        one = next(turns)
        request = pb.HeartbeatRequest(workspace_id=one.workspace_id, uptime_seconds=UPTIME + one.number)
        await line.call(stub.Heartbeat, request, on_behalf_of=Identity(kind=Kind.WORKSPACE, name=one.workspace_id))
        took.append(time.perf_counter() - began)


async def _main(orders: LoadPlan) -> None:
    took = await (_over_grpc if orders.where.startswith("unix:") else _over_http)(orders)
    print(json.dumps(asdict(run_load(took, orders.seconds))))


if __name__ == "__main__":
    uvloop.run(_main(LoadPlan(**json.loads(sys.argv[1]))))
