"""Sends the heartbeats of many agents over few connections: `python -m bench.heartbeats`; prints the result as JSON.

Each connection sends the heartbeats of its share of the agents, one at a time. Over gRPC the process calls the
registry directly, as the gateway does.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle

import uvloop

from bench.load import summarise
from bench.population import Agent, build_agent
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind

UPTIME_SECONDS = 3600

ANSWER = b'{"status":"ok"}'
"""The end of the response to a heartbeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """The only argument of the process, as JSON."""

    address: str
    """The port of a gateway on this machine, or the address of a registry (`unix:...`)."""
    agents: int
    connections: int
    seconds: float
    rate: float = 0.0
    """Heartbeats a second, summed over all connections; with 0, each answer is followed by the next heartbeat."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of a connection's heartbeats, in seconds of the monotonic clock."""

    first_at: float
    interval_seconds: float
    until: float


class Connection(asyncio.Protocol):
    """One HTTP connection that sends one request at a time. It does little work, because the cores are shared."""

    def __init__(self, requests: Iterator[bytes], pace: Pace, durations: list[float]) -> None:
        self.finished = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._pace = pace
        self._durations = durations
        self._started_at = 0.0
        self._answer = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._schedule(self._pace.first_at)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(ANSWER):
            if b"\r\n" in self._answer and not self._answer.startswith(b"HTTP/1.1 200"):
                sys.exit(self._answer.decode())
            return
        self._answer = b""
        self._durations.append(time.perf_counter() - self._started_at)
        self._schedule(self._started_at + self._pace.interval_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_exception(exc or ConnectionResetError())

    def _schedule(self, due: float) -> None:
        """Send at `due`. Missed heartbeats are skipped, because an agent sleeps from one heartbeat to the next."""
        now = time.perf_counter()
        if max(now, due) >= self._pace.until:
            self.finished.set_result(None)
            self._transport.close()
        elif due > now:
            asyncio.get_running_loop().call_later(due - now, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._started_at = time.perf_counter()
        self._transport.write(next(self._requests))


def _build_paces(plan: LoadPlan) -> list[Pace]:
    """Build the pace of each connection; their first heartbeats are evenly distributed over the interval."""
    interval_seconds = plan.connections / plan.rate if plan.rate else 0.0
    started_at = time.perf_counter()
    return [
        Pace(started_at + interval_seconds * number / plan.connections, interval_seconds, started_at + plan.seconds)
        for number in range(plan.connections)
    ]


def _share_agents(plan: LoadPlan) -> list[list[Agent]]:
    """Distribute the agents over the connections."""
    agents = [build_agent(number) for number in range(plan.agents)]
    return [agents[number :: plan.connections] for number in range(plan.connections)]


def _build_request(agent: Agent) -> bytes:
    body = (
        f'{{"workspace_id":"{agent.workspace_id}","error_rate":0,"sample_error":"","active_tasks":0,'
        f'"current_task":"","uptime_seconds":{UPTIME_SECONDS + agent.number}}}'
    )
    return (
        "POST /registry/heartbeat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {agent.token.text}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _send_over_http(plan: LoadPlan) -> list[float]:
    durations: list[float] = []
    shares = [[_build_request(agent) for agent in share] for share in _share_agents(plan)]
    connections = []
    for share, pace in zip(shares, _build_paces(plan), strict=True):
        connection = Connection(cycle(share), pace, durations)
        make_protocol = partial(_return_connection, connection)
        await asyncio.get_running_loop().create_connection(make_protocol, "127.0.0.1", int(plan.address))
        connections.append(connection.finished)
    await asyncio.gather(*connections)
    return durations


def _return_connection(connection: Connection) -> Connection:
    return connection


async def _send_over_grpc(plan: LoadPlan) -> list[float]:
    durations: list[float] = []
    shares = _share_agents(plan)
    async with clients.open_channel(plan.address, caller_service="gateway") as channel, asyncio.TaskGroup() as group:
        for share, pace in zip(shares, _build_paces(plan), strict=True):
            group.create_task(_send_heartbeats(channel, cycle(share), pace, durations))
    return durations


async def _send_heartbeats(
    channel: ServiceChannel, agents: Iterator[Agent], pace: Pace, durations: list[float]
) -> None:
    """Send one heartbeat after the other, each as soon as the last one is answered."""
    stub = rpc.RegistryServiceStub(channel.channel)
    while (started_at := time.perf_counter()) < pace.until:
        agent = next(agents)
        request = pb.HeartbeatRequest(workspace_id=agent.workspace_id, uptime_seconds=UPTIME_SECONDS + agent.number)
        await channel.call(stub.Heartbeat, request, on_behalf_of=Identity(kind=Kind.WORKSPACE, name=agent.workspace_id))
        durations.append(time.perf_counter() - started_at)


async def _main(plan: LoadPlan) -> None:
    durations = await (_send_over_grpc if plan.address.startswith("unix:") else _send_over_http)(plan)
    print(json.dumps(asdict(summarise(durations, plan.seconds))))


if __name__ == "__main__":
    uvloop.run(_main(LoadPlan(**json.loads(sys.argv[1]))))
