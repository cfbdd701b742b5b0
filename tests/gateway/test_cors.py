import pytest

from gateway.cors import CorsPolicy


@pytest.mark.parametrize(
    ("origin", "own_url", "allowed"),
    [
        ("http://console.example", "http://127.0.0.1:8080", True),
        ("http://elsewhere.example", "http://127.0.0.1:8080", False),
        ("null", "http://127.0.0.1:8080", False),
        ("", "http://127.0.0.1:8080", False),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("http://localhost:8080", "http://localhost:8080", True),
        ("http://[::1]:8080", "http://[::1]:8080", True),
        ("https://127.0.0.1:8080", "http://127.0.0.1:8080", False),
        ("http://127.0.0.1:9090", "http://127.0.0.1:8080", False),
        ("https://plane.example", "http://127.0.0.1:8080", True),
    ],
)
def test_listed_origins_and_the_planes_own_may_call(origin, own_url, allowed):
    cors = CorsPolicy(["http://console.example"], "https://plane.example/under/path")

    assert cors.allows(origin, own_url) is allowed


def test_a_host_name_does_not_prove_the_planes_origin():
    cors = CorsPolicy([], "")

    assert not cors.allows("http://rebound.example:8080", "http://rebound.example:8080")
