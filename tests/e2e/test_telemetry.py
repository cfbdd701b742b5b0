"""With an exporter, a plane exports one trace for each message, and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.conversation import create, get_answer_text, send, wait_until_online

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """A fake OpenTelemetry collector."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: set[tuple[str, str, str]] = set()
        self.metrics: set[tuple[str, str]] = set()

    async def take_traces(self, request: web.Request) -> web.Response:
        for resource in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            service = _get_service(resource)
            for scope in resource.scope_spans:
                self.spans |= {(service, span.name, span.trace_id.hex()) for span in scope.spans}
        return web.Response()

    async def take_metrics(self, request: web.Request) -> web.Response:
        for resource in ExportMetricsServiceRequest.FromString(await request.read()).resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {(_get_service(resource), metric.name) for metric in scope.metrics}
        return web.Response()


def _get_service(resource) -> str:
    return next(item.value.string_value for item in resource.resource.attributes if item.key == "service.name")


@asynccontextmanager
async def run_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", collector.take_traces)
    app.router.add_post("/v1/metrics", collector.take_metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


async def test_a_message_is_one_trace_through_gateway_and_proxy_and_everything_is_timed(database_url):
    async with run_collector() as collector, plane_database(database_url) as url:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        async with Plane(backend="process", database_url=url, env=env, processes=True) as plane:
            workspace_id = await create(plane)
            await wait_until_online(plane, workspace_id)
            traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"
            assert get_answer_text(await send(plane, workspace_id, "traced", traceparent=traceparent)) == "traced"

        ours = {(service, name) for service, name, trace in collector.spans if trace == TRACE}
        assert {("molecule.gateway", "POST"), ("molecule.a2a_proxy", "deliver")} <= ours
        assert ("molecule.registry", "molecule.call.duration") in collector.metrics
