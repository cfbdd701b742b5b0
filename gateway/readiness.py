"""Checks whether the services of the plane answer."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedService:
    """A service to check; the plane is not ready without a required one."""

    name: str
    channel: ServiceChannel
    required: bool


class ReadinessChecker:
    """Runs the health check of each service."""

    def __init__(self, clients: ServiceChannels) -> None:
        self._services = (
            CheckedService(name="registry", channel=clients.registry, required=True),
            CheckedService(name="auth", channel=clients.auth, required=True),
            CheckedService(name="a2a_proxy", channel=clients.a2a_proxy, required=True),
            CheckedService(name="provisioner", channel=clients.provisioner, required=False),
        )

    async def checks(self) -> dict[str, ServiceCheck]:
        """Return the checks by name of the service; they run concurrently."""
        found = await asyncio.gather(*(_check_service(service) for service in self._services))
        return {service.name: check for service, check in zip(self._services, found, strict=True)}


async def _check_service(service: CheckedService) -> ServiceCheck:
    began = time.perf_counter()
    trouble = await _find_trouble(service.channel)
    latency = round((time.perf_counter() - began) * 1000)
    if trouble:
        return ServiceCheck(status="fail", required=service.required, latency_ms=latency, detail=trouble)
    return ServiceCheck(status="ok", required=service.required, latency_ms=latency)


async def _find_trouble(channel: ServiceChannel) -> str:
    """Return why a service cannot be used; empty if it can."""
    probe = health_pb2_grpc.HealthStub(channel.channel)
    try:
        check = probe.Check  # type: ignore[attr-defined] # made when the stub is
        reply = await channel.call(check, health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT)
    except ServiceError:
        return "unreachable"
    return "" if reply.status == health_pb2.HealthCheckResponse.SERVING else "not serving"
