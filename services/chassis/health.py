"""Answers whether a service can do its work: its database answers, and it hears the feeds that it needs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health

PROBE_TIMEOUT = timedelta(seconds=2)
"""Time for one probe; one that takes longer counts as failed."""

HEALTHY_LIFETIME = timedelta(seconds=1)
"""How long the result of successful probes is reused, which bounds their cost."""

UNHEALTHY_LIFETIME = timedelta(milliseconds=200)
"""How long the result of failed probes is reused; shorter, so that a service that starts is noticed soon."""

Probe: TypeAlias = Callable[[], Awaitable[str]]
"""Returns why something that the service needs is away, in words for anybody; empty if it is not."""


class HealthMonitor:
    """Runs the probes of a service when it is asked: one round at a time, whose result is reused for a second."""

    def __init__(self, probes: Sequence[Probe], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` returns seconds."""
        self._probes = probes
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._causes: tuple[str, ...] = ()
        self._valid_until = float("-inf")

    async def find_causes(self) -> tuple[str, ...]:
        """Return why the service cannot do its work; empty if it can."""
        async with self._lock:
            if self._monotonic() >= self._valid_until:
                found = await asyncio.gather(*(_run(probe) for probe in self._probes))
                self._causes = tuple(dict.fromkeys(cause for cause in found if cause))
                lifetime = UNHEALTHY_LIFETIME if self._causes else HEALTHY_LIFETIME
                self._valid_until = self._monotonic() + lifetime.total_seconds()
            return self._causes


class HealthServicer(health.HealthServicer):  # type: ignore[misc, unused-ignore]
    """Serves `grpc.health.v1`: a service that was told to serve does not while the monitor finds a cause."""

    def __init__(self, monitor: HealthMonitor) -> None:
        super().__init__()
        self._monitor = monitor

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802, ANN401 - gRPC names and types it
        """Return whether the service can do its work."""
        answer: health_pb2.HealthCheckResponse = await super().Check(request, context)
        is_serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        if is_serving and await self._monitor.find_causes():
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
        return answer


async def _run(probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT.total_seconds()):
            return await probe()
    except TimeoutError:
        return "a check did not end in time"
