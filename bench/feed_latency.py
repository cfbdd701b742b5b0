"""Measures the feed: agents become degraded and recover, and a subscriber waits for the events."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from bench.load import Sample, summarise
from bench.population import Agent
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind

DEGRADING_ERROR_RATE = 0.9
"""An error rate that makes a workspace degraded."""

MAX_WAIT_SECONDS = 5.0
"""Seconds after which a missing event fails the benchmark."""


class Subscriber:
    """A subscriber of the workspace feed that records when each awaited change arrives."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = rpc.RegistryServiceStub(channel.channel)
        self._awaited: dict[tuple[str, int], asyncio.Future[float]] = {}
        self._snapshot_done = asyncio.Event()

    async def read(self) -> None:
        """Read the feed from its beginning, until cancelled."""
        request = pb.WatchWorkspacesRequest()
        async with aclosing(self._channel.watch(self._stub.WatchWorkspaces, request)) as feed:
            async for event in feed:
                if event.HasField("snapshot_done"):
                    self._snapshot_done.set()
                if event.HasField("changed"):
                    self._record_change(event.changed.id, event.changed.status)

    async def measure(self, agents: Sequence[Agent], *, pause: float) -> Sample:
        """Measure the time from each heartbeat to its event; agents begin `pause` seconds after one another."""
        await self._snapshot_done.wait()
        durations: list[float] = []
        started_at = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for agent in agents:
                group.create_task(self._degrade_and_recover(agent, durations))
                await asyncio.sleep(pause)
        return summarise(durations, time.perf_counter() - started_at)

    async def _degrade_and_recover(self, agent: Agent, durations: list[float]) -> None:
        for error_rate, status in (
            (DEGRADING_ERROR_RATE, pb.WORKSPACE_STATUS_DEGRADED),
            (0.0, pb.WORKSPACE_STATUS_ONLINE),
        ):
            change = self._awaited[agent.workspace_id, status] = asyncio.get_running_loop().create_future()
            started_at = time.perf_counter()
            request = pb.HeartbeatRequest(workspace_id=agent.workspace_id, error_rate=error_rate)
            caller = Identity(kind=Kind.WORKSPACE, name=agent.workspace_id)
            await self._channel.call(self._stub.Heartbeat, request, on_behalf_of=caller)
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                durations.append(await change - started_at)

    def _record_change(self, workspace_id: str, status: int) -> None:
        awaited = self._awaited.pop((workspace_id, status), None)
        if awaited is not None and not awaited.done():
            awaited.set_result(time.perf_counter())
