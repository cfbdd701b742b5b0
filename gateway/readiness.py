"""Whether the services of the plane answer."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.clients import ServiceChannels
from gateway.schemas.operations import ServiceCheck
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

CHECK_TIMEOUT = timedelta(seconds=1)
"""How long a service has to say how it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedService:
    """A service, and whether the plane is ready without it."""

    name: str
    line: ServiceChannel
    required: bool


class ReadinessChecker:
    """Asks each service how it is."""

    def __init__(self, clients: ServiceChannels) -> None:
        self._watched = (
            CheckedService(name="registry", line=clients.registry, required=True),
            CheckedService(name="auth", line=clients.auth, required=True),
            CheckedService(name="a2a_proxy", line=clients.a2a_proxy, required=True),
            CheckedService(name="provisioner", line=clients.provisioner, required=False),
        )

    async def checks(self) -> dict[str, ServiceCheck]:
        """What each says, by name. All are asked at once."""
        found = await asyncio.gather(*(_check_service(watched) for watched in self._watched))
        return {watched.name: check for watched, check in zip(self._watched, found, strict=True)}


async def _check_service(watched: CheckedService) -> ServiceCheck:
    began = time.perf_counter()
    trouble = await _find_trouble(watched.line)
    latency = round((time.perf_counter() - began) * 1000)
    if trouble:
        return ServiceCheck(status="fail", required=watched.required, latency_ms=latency, detail=trouble)
    return ServiceCheck(status="ok", required=watched.required, latency_ms=latency)


async def _find_trouble(line: ServiceChannel) -> str:
    """What keeps a service from being used; empty where nothing does."""
    probe = health_pb2_grpc.HealthStub(line.channel)
    try:
        check = probe.Check  # type: ignore[attr-defined] # made when the stub is
        reply = await line.call(check, health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT)
    except ServiceError:
        return "unreachable"
    return "" if reply.status == health_pb2.HealthCheckResponse.SERVING else "not serving"
