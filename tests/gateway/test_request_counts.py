from prometheus_client import CollectorRegistry, generate_latest

from gateway.request_counts import DURATION_BUCKETS, RequestCounts

HISTOGRAM = "molecule_http_request_seconds"


def read_samples(counts: RequestCounts) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(counts)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_requests_and_seconds_are_counted_by_method_path_and_status():
    counts = RequestCounts()
    counts.count("GET", "/a", 200, 0.5)
    counts.count("GET", "/a", 200, 0.25)
    counts.count("GET", "/a", 404, 1.0)

    samples = read_samples(counts)

    assert samples['molecule_http_requests_total{method="GET",path="/a",status="200"}'] == 2
    assert samples['molecule_http_request_duration_seconds_total{method="GET",path="/a",status="200"}'] == 0.75
    assert samples['molecule_http_requests_total{method="GET",path="/a",status="404"}'] == 1


def test_unknown_methods_share_their_labels():
    counts = RequestCounts()
    counts.count("BREW", "/a", 405, 0.1)
    counts.count("WHEN", "/a", 405, 0.1)

    assert read_samples(counts)['molecule_http_requests_total{method="OTHER",path="/a",status="405"}'] == 2


def test_the_histogram_counts_durations_up_to_each_bound_whatever_the_status():
    counts = RequestCounts()
    for number, bound in enumerate(DURATION_BUCKETS):
        counts.count("GET", "/a", 200 + number, bound)
    counts.count("GET", "/a", 500, 61.0)

    samples = read_samples(counts)

    buckets = [value for name, value in samples.items() if name.startswith(f"{HISTOGRAM}_bucket")]
    assert buckets == [*range(1, len(DURATION_BUCKETS) + 1), len(DURATION_BUCKETS) + 1]
    assert samples[HISTOGRAM + '_bucket{le="0.5",method="GET",path="/a"}'] == DURATION_BUCKETS.index(0.5) + 1
    assert samples[HISTOGRAM + '_count{method="GET",path="/a"}'] == len(DURATION_BUCKETS) + 1
    assert samples[HISTOGRAM + '_sum{method="GET",path="/a"}'] == sum(DURATION_BUCKETS) + 61.0
    assert samples[HISTOGRAM + '_created{method="GET",path="/a"}'] > 0
