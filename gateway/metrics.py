"""Metrics of the gateway, for Prometheus."""

import math
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from gateway.request_counts import RequestCounts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

UNMATCHED_PATH = "unmatched"
"""The path label of requests without a route: a client must not create labels."""


class RequestMetrics:
    """The metrics of one gateway process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = RequestCounts()
        self._registry.register(self._requests)
        self.count = self._requests.count
        self._workspaces = Gauge(
            "molecule_workspaces", "Workspaces that are not removed, by status.", ("status",), registry=self._registry
        )
        self._queued = Gauge(
            "molecule_queue_messages",
            "Accepted messages that may still be delivered, by state.",
            ("state",),
            registry=self._registry,
        )
        self._unbalanced = Gauge(
            "molecule_queue_unbalanced_workspaces",
            "Workspaces whose accounts of accepted messages do not balance; NaN while unknown.",
            registry=self._registry,
        )
        self._services = Gauge(
            "molecule_service_up", "Whether a service is ready: 1 or 0.", ("service",), registry=self._registry
        )
        self.websockets = Gauge(
            "molecule_websocket_connections_active", "Event sockets open now.", registry=self._registry
        )

    def set_workspaces(self, counts: Mapping[str, int]) -> None:
        """Set the number of workspaces of each status; without counts, which is unknown, the metric has no values."""
        if not counts:
            self._workspaces.clear()
        for status, count in counts.items():
            self._workspaces.labels(status).set(count)

    def set_queue(self, counts: Mapping[str, int], unbalanced: int | None) -> None:
        """Set the number of accepted messages of each state, and of unbalanced accounts; without counts no values."""
        if not counts:
            self._queued.clear()
        for state, count in counts.items():
            self._queued.labels(state).set(count)
        self._unbalanced.set(math.nan if unbalanced is None else unbalanced)

    def set_services(self, ready: Mapping[str, bool]) -> None:
        """Set which services are ready."""
        for service, is_ready in ready.items():
            self._services.labels(service).set(int(is_ready))

    def text(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
