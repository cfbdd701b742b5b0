"""Routes of the starting point, health, readiness and metrics."""

from starlette.responses import Response

from gateway.guards import OPERATION
from gateway.json_format import json_response
from gateway.metrics import CONTENT_TYPE, RequestMetrics
from gateway.readiness import ReadinessChecker
from gateway.route import Call, Route
from gateway.schemas.operations import Health, ReadinessStatus, StartingPoint

NEXT_STEP = "GET workspaces lists them, POST makes one; docs describes every route, and molecule --help every command."


class OperationsRoutes:
    """Routes about the plane itself."""

    def __init__(self, readiness: ReadinessChecker, metrics: RequestMetrics) -> None:
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
                summary="This process is there",
                guard=None,
                answer=Health,
            ),
            Route(
                method="GET",
                path="/ready",
                handler=self.get_readiness,
                summary="The services answer",
                guard=None,
                answer=ReadinessStatus,
                refusal_statuses=frozenset({503}),
            ),
            Route(
                method="GET",
                path="/metrics",
                handler=self.get_metrics,
                summary="Counters, as Prometheus reads them",
                guard=OPERATION,
                media_type="text/plain",
            ),
        ]

    async def get_starting_point(self, call: Call) -> object:
        """Return the addresses at which a person or a program begins."""
        return StartingPoint(
            name="Molecule",
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
        """Return the metrics in the format of Prometheus."""
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})
