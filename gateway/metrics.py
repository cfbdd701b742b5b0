"""Metrics of the gateway, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, PlatformCollector, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

UNMATCHED_PATH = "unmatched"
"""The path label of requests without a route: a client must not create labels."""

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUEST_LABELS = ("method", "path", "status")


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
        self._known: dict[tuple[str, str, int], tuple[Counter, Counter]] = {}
        self.websockets = Gauge(
            "molecule_websocket_connections_active", "Event sockets open now.", registry=self._registry
        )

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one request that was answered after the given seconds."""
        key = (method, path, status)
        known = self._known.get(key)
        if known is None:
            labels = (method if method in KNOWN_METHODS else "OTHER", path, str(status))
            known = self._known[key] = (self._requests.labels(*labels), self._seconds.labels(*labels))
        requests, spent = known
        requests.inc()
        spent.inc(seconds)

    def text(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
