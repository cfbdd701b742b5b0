"""Routes of the starting point, health, readiness and metrics."""

import asyncio
from datetime import timedelta
from importlib import metadata

from starlette.responses import Response

from gateway.guards import METRICS
from gateway.json_format import json_response
from gateway.metrics import CONTENT_TYPE, RequestMetrics
from gateway.readiness import ReadinessChecker
from gateway.route import Call, Route
from gateway.schemas.operations import Health, ReadinessStatus, StartingPoint
from gateway.schemas.queue import render_state
from gateway.schemas.workspaces import render_status
from protos.a2a_proxy.v1 import queue_pb2, queue_pb2_grpc
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

COUNT_TIMEOUT = timedelta(seconds=1)
"""Time for a count, so that the other metrics can be read while its service is away."""

UNKNOWN_RELEASE = "unknown"
"""The release of code that is not installed as a distribution."""

RELEASE = next((found.version for found in metadata.distributions(name="molecule")), UNKNOWN_RELEASE)
"""The version of the installed release."""

NEXT_STEP = "GET workspaces lists them, POST makes one; docs describes every route, and molecule --help every command."


class OperationsRoutes:
    """Routes about the plane itself."""

    def __init__(
        self,
        registry: ServiceChannel,
        a2a_proxy: ServiceChannel,
        readiness: ReadinessChecker,
        metrics: RequestMetrics,
    ) -> None:
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)
        self._a2a_proxy = a2a_proxy
        self._queue_stub = queue_pb2_grpc.QueueServiceStub(a2a_proxy.channel)
        self._readiness = readiness
        self._metrics = metrics

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/",
                handler=self.get_starting_point,
                summary="Where to begin",
                guard=None,
                answer=StartingPoint,
            ),
            Route(
                method="GET",
                path="/health",
                handler=self.get_health,
                summary="Check that the gateway runs",
                guard=None,
                answer=Health,
            ),
            Route(
                method="GET",
                path="/ready",
                handler=self.get_readiness,
                summary="Check that the services are ready",
                guard=None,
                answer=ReadinessStatus,
                refusal_statuses=frozenset({503}),
            ),
            Route(
                method="GET",
                path="/metrics",
                handler=self.get_metrics,
                summary="Read the metrics for Prometheus",
                guard=METRICS,
                media_type="text/plain",
            ),
        ]

    async def get_starting_point(self, call: Call) -> object:
        """Return the addresses at which a person or a program begins."""
        return StartingPoint(
            name="Molecule",
            version=RELEASE,
            api=f"{call.base_url}/openapi.json",
            docs=f"{call.base_url}/docs",
            health=f"{call.base_url}/health",
            ready=f"{call.base_url}/ready",
            workspaces=f"{call.base_url}/workspaces",
            next=NEXT_STEP,
        )

    async def get_health(self, _: Call) -> object:
        """Answer that this process runs."""
        return Health(status="ok")

    async def get_readiness(self, _: Call) -> object:
        """Return the checks of the services; 503 if a required one failed."""
        checks = await self._readiness.checks()
        missing = any(check["required"] and check["status"] == "fail" for check in checks.values())
        return json_response(
            ReadinessStatus(status="degraded" if missing else "ready", checks=checks), 503 if missing else 200
        )

    async def get_metrics(self, _: Call) -> object:
        """Return the metrics for Prometheus, with the numbers of workspaces and messages, and the ready services."""
        counts, queue, checks = await asyncio.gather(
            self._count_workspaces(), self._count_messages(), self._readiness.checks()
        )
        self._metrics.set_workspaces(counts)
        self._metrics.set_queue(*queue)
        self._metrics.set_services({name: check["status"] == "ok" for name, check in checks.items()})
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _count_workspaces(self) -> dict[str, int]:
        """Return the number of workspaces of each status; none if the registry does not answer."""
        try:
            reply: pb.CountWorkspacesResponse = await self._registry.call(
                self._stub.CountWorkspaces, pb.CountWorkspacesRequest(), timeout=COUNT_TIMEOUT
            )
        except ServiceError:
            return {}
        return {render_status(counted.status): counted.count for counted in reply.counts}

    async def _count_messages(self) -> tuple[dict[str, int], int | None]:
        """Return the number of accepted messages of each state, and of unbalanced accounts; none without an answer."""
        request = queue_pb2.CountQueuedMessagesRequest()
        try:
            reply: queue_pb2.CountQueuedMessagesResponse = await self._a2a_proxy.call(
                self._queue_stub.CountQueuedMessages, request, timeout=COUNT_TIMEOUT
            )
        except ServiceError:
            return {}, None
        unbalanced = reply.unbalanced_accounts if reply.HasField("unbalanced_accounts") else None
        return {render_state(counted.state): counted.count for counted in reply.counts}, unbalanced
