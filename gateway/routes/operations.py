"""Is the plane there, is it ready, what has it done."""

from starlette.responses import Response

from gateway.guards import OPERATION
from gateway.json_format import json_response
from gateway.metrics import CONTENT_TYPE, RequestMetrics
from gateway.readiness import ReadinessChecker
from gateway.route import Call, Route
from gateway.schemas.operations import Health, ReadinessStatus


class OperationsRoutes:
    """Knows the gateway itself, and asks every service how it is."""

    def __init__(self, readiness: ReadinessChecker, metrics: RequestMetrics) -> None:
        self._readiness = readiness
        self._metrics = metrics

    def list_routes(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="GET",
                path="/health",
                handler=self.health,
                summary="This process is there",
                guard=None,
                answer=Health,
            ),
            Route(
                method="GET",
                path="/ready",
                handler=self.ready,
                summary="The services answer",
                guard=None,
                answer=ReadinessStatus,
                refusal_statuses=frozenset({503}),
            ),
            Route(
                method="GET",
                path="/metrics",
                handler=self.metrics,
                summary="Counters, as Prometheus reads them",
                guard=OPERATION,
                media_type="text/plain",
            ),
        ]

    async def health(self, _: Call) -> object:
        """This process answers."""
        return Health(status="ok")

    async def ready(self, _: Call) -> object:
        """Every service that is needed answers; or which one does not."""
        checks = await self._readiness.checks()
        missing = any(check["required"] and check["status"] == "fail" for check in checks.values())
        return json_response(
            ReadinessStatus(status="degraded" if missing else "ready", checks=checks), 503 if missing else 200
        )

    async def metrics(self, _: Call) -> object:
        """Counters, as Prometheus reads them."""
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})
