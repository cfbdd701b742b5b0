"""Checks whether the services of the plane can do their work."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.clients import ServiceChannels
from gateway.schemas.operations import ServiceCheck
from protos.common.v1 import liveness_pb2, liveness_pb2_grpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

CHECK_TIMEOUT = timedelta(seconds=3)
"""Time for one check; longer than a service takes for its own probes."""


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
    cause = await _find_cause(service.channel)
    latency = round((time.perf_counter() - began) * 1000)
    if cause:
        return ServiceCheck(status="fail", required=service.required, latency_ms=latency, detail=cause)
    return ServiceCheck(status="ok", required=service.required, latency_ms=latency)


async def _find_cause(channel: ServiceChannel) -> str:
    """Return why a service cannot do its work; empty if it can."""
    check = health_pb2_grpc.HealthStub(channel.channel).Check  # type: ignore[attr-defined] # made when the stub is
    try:
        reply = await channel.call(check, health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT)
        if reply.status == health_pb2.HealthCheckResponse.SERVING:
            return ""
        get_health = liveness_pb2_grpc.LivenessServiceStub(channel.channel).GetHealth
        health: liveness_pb2.GetHealthResponse = await channel.call(
            get_health, liveness_pb2.GetHealthRequest(), timeout=CHECK_TIMEOUT
        )
    except ServiceError:
        return "service does not answer"
    return health.causes[0] if health.causes else "service is stopping"
