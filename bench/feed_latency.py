"""How soon a change of status is news: agents fall ill and recover, and a subscriber of the feed waits for it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from bench.load import Sample, run_load
from bench.population import Agent
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind

SICK = 0.9
"""An error rate that degrades."""

MAX_WAIT_SECONDS = 5.0
"""Seconds after which news is not waited for any more."""


class Subscriber:
    """One more reader of the feed."""

    def __init__(self, line: ServiceChannel) -> None:
        self._line = line
        self._stub = rpc.RegistryServiceStub(line.channel)
        self._awaited: dict[tuple[str, int], asyncio.Future[float]] = {}
        self._began = asyncio.Event()

    async def read(self) -> None:
        """Read the feed from its beginning, until cancelled."""
        request = pb.WatchWorkspacesRequest()
        async with aclosing(self._line.watch(self._stub.WatchWorkspaces, request)) as feed:
            async for news in feed:
                if news.HasField("snapshot_done"):
                    self._began.set()
                if news.HasField("changed"):
                    self._hear(news.changed.id, news.changed.status)

    async def took(self, agents: Sequence[Agent], *, pause: float) -> Sample:
        """How long after its heartbeat was sent each agent's fall and recovery were news, `pause` seconds apart."""
        await self._began.wait()
        took: list[float] = []
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for one in agents:
                group.create_task(self._fall_and_recover(one, took))
                await asyncio.sleep(pause)
        return run_load(took, time.perf_counter() - began)

    async def _fall_and_recover(self, one: Agent, took: list[float]) -> None:
        for error_rate, status in ((SICK, pb.WORKSPACE_STATUS_DEGRADED), (0.0, pb.WORKSPACE_STATUS_ONLINE)):
            heard = self._awaited[one.workspace_id, status] = asyncio.get_running_loop().create_future()
            began = time.perf_counter()
            request = pb.HeartbeatRequest(workspace_id=one.workspace_id, error_rate=error_rate)
            caller = Identity(kind=Kind.WORKSPACE, name=one.workspace_id)
            await self._line.call(self._stub.Heartbeat, request, on_behalf_of=caller)
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                took.append(await heard - began)

    def _hear(self, workspace_id: str, status: int) -> None:
        awaited = self._awaited.pop((workspace_id, status), None)
        if awaited is not None and not awaited.done():
            awaited.set_result(time.perf_counter())
