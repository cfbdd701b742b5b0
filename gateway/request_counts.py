"""Counts the requests of the gateway, and gives the counts to Prometheus when it reads them.

The counters and the histogram of the client library take ten times as long for each request.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUEST_LABELS = ("method", "path", "status")

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of request durations, in seconds."""

_BOUNDS = (*map(floatToGoString, DURATION_BUCKETS), "+Inf")


@dataclass(slots=True)
class _Tally:
    """The requests with the same labels."""

    requests: int = 0
    seconds: float = 0.0
    by_bucket: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))
    began_at: float = field(default_factory=time.time)


class RequestCounts(Collector):
    """The number and the durations of requests, by method, path and status."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], _Tally] = {}
        self._by_labels: dict[tuple[str, str, str], _Tally] = {}

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one request that was answered after the given seconds."""
        tally = self._known.get((method, path, status)) or self._find(method, path, status)
        tally.requests += 1
        tally.seconds += seconds
        tally.by_bucket[bisect_left(DURATION_BUCKETS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        requests = CounterMetricFamily("molecule_http_requests", "Requests answered.", labels=REQUEST_LABELS)
        spent = CounterMetricFamily(
            "molecule_http_request_duration_seconds", "Seconds spent on them.", labels=REQUEST_LABELS
        )
        for labels, tally in self._by_labels.items():
            requests.add_metric(labels, tally.requests, created=tally.began_at)
            spent.add_metric(labels, tally.seconds, created=tally.began_at)
        yield requests
        yield spent
        yield self._build_histogram()

    def _find(self, method: str, path: str, status: int) -> _Tally:
        """Return the tally of a request; the methods that are not known share one."""
        labels = (method if method in KNOWN_METHODS else "OTHER", path, str(status))
        tally = self._known[method, path, status] = self._by_labels.setdefault(labels, _Tally())
        return tally

    def _build_histogram(self) -> HistogramMetricFamily:
        """Return the durations by method and path, of all statuses."""
        merged: dict[tuple[str, str], _Tally] = {}
        for (method, path, _), tally in self._by_labels.items():
            total = merged.setdefault((method, path), _Tally(began_at=tally.began_at))
            total.requests += tally.requests
            total.seconds += tally.seconds
            total.by_bucket = [a + b for a, b in zip(total.by_bucket, tally.by_bucket, strict=True)]
        name, labels = "molecule_http_request_seconds", REQUEST_LABELS[:2]
        family = HistogramMetricFamily(name, "Seconds from a request to the end of its answer.", labels=labels)
        for values, total in merged.items():
            buckets = list(zip(_BOUNDS, accumulate(total.by_bucket), strict=True))
            family.add_metric(values, buckets=buckets, sum_value=total.seconds)
        for values, total in merged.items():
            family.add_sample(f"{name}_created", dict(zip(labels, values, strict=True)), total.began_at)
        return family
