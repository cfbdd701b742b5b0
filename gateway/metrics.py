"""Metrics of the gateway, for Prometheus."""

import math
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

UNMATCHED_PATH = "unmatched"
"""The path label of requests without a route: a client must not create labels."""

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUEST_LABELS = ("method", "path", "status")

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of request durations, in seconds."""


class RequestMetrics:
    """The metrics of one gateway process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "molecule_http_requests", "Requests answered.", REQUEST_LABELS, registry=self._registry
        )
        self._seconds = Counter(
            "molecule_http_request_duration_seconds", "Seconds spent on them.", REQUEST_LABELS, registry=self._registry
        )
        self._durations = Histogram(
            "molecule_http_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("method", "path"),
            buckets=DURATION_BUCKETS,
            registry=self._registry,
        )
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
        self._known: dict[tuple[str, str, int], tuple[Counter, Counter, Histogram]] = {}
        self.websockets = Gauge(
            "molecule_websocket_connections_active", "Event sockets open now.", registry=self._registry
        )

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one request that was answered after the given seconds."""
        key = (method, path, status)
        known = self._known.get(key)
        if known is None:
            labels = (method if method in KNOWN_METHODS else "OTHER", path, str(status))
            known = self._known[key] = (
                self._requests.labels(*labels),
                self._seconds.labels(*labels),
                self._durations.labels(*labels[:2]),
            )
        requests, spent, durations = known
        requests.inc()
        spent.inc(seconds)
        durations.observe(seconds)

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
