import pytest

from gateway.cors import CorsPolicy, normalize_origin
from gateway.hosts import HostPolicy


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
    cors = CorsPolicy(["http://console.example"], "https://plane.example/under/path", HostPolicy([]))

    assert cors.allows(origin, own_url) is allowed


def test_a_host_name_does_not_prove_the_planes_origin():
    cors = CorsPolicy([], "", HostPolicy([]))

    assert not cors.allows("http://rebound.example:8080", "http://rebound.example:8080")


@pytest.mark.parametrize(
    ("own_url", "allowed"),
    [
        ("http://localhost", True),
        ("https://10.0.0.7", True),
        ("http://[2001:db8::1]:8080", True),
        ("http://localhost.example", False),
        ("http://10.0.0.7.example", False),
        ("http://", False),
        ("http://[::1", False),
    ],
)
def test_only_localhost_and_ip_literals_are_the_planes_own_origin(own_url, allowed):
    assert CorsPolicy([], "", HostPolicy([])).allows(own_url, own_url) is allowed


@pytest.mark.parametrize(
    ("external_url", "origin"),
    [
        ("https://plane.example", "https://plane.example"),
        ("https://plane.example:8443/under/path?a=b", "https://plane.example:8443"),
    ],
)
def test_pages_of_the_public_url_may_call(external_url, origin):
    cors = CorsPolicy([], external_url, HostPolicy([]))

    assert cors.allows(origin, "http://rebound.example")
    assert not cors.allows("http://plane.example", "http://rebound.example")


@pytest.mark.covers("EDGE-38")
@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Plane.Example:443/under?a=b", "https://plane.example"),
        ("HTTP://plane.example:80", "http://plane.example"),
        ("http://plane.example:443", "http://plane.example:443"),
        ("https://[FD00::1]:8443/", "https://[fd00::1]:8443"),
        ("https://user:word@plane.example", "https://plane.example"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("null", ""),
        ("*", ""),
        ("plane.example", ""),
        ("https://", ""),
        ("http://[::1", ""),
        ("http://h:99999", ""),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(url, origin):
    assert normalize_origin(url) == origin


def test_the_names_of_the_plane_are_its_own_origins_and_listed_origins_are_not():
    cors = CorsPolicy(["http://console.example"], "https://plane.example", HostPolicy(["plane.lan"]))

    assert cors.is_own("http://plane.lan:8080", "http://Plane.LAN:8080")
    assert cors.is_own("https://plane.example", "http://10.0.0.7")
    assert not cors.is_own("http://other.lan:8080", "http://other.lan:8080")
    assert not cors.is_own("http://console.example", "http://10.0.0.7")


def test_without_a_public_url_and_listed_origins_no_foreign_page_may_call():
    cors = CorsPolicy([], "", HostPolicy([]))

    assert not any(cors.allows(origin, "http://10.0.0.7") for origin in ("", "://", "null", "https://plane.example"))


def test_every_response_names_the_origin_and_the_readable_headers():
    assert CorsPolicy([], "", HostPolicy([])).answer_headers("https://plane.example") == [
        (b"access-control-allow-origin", b"https://plane.example"),
        (b"access-control-allow-credentials", b"true"),
        (
            b"access-control-expose-headers",
            (
                b"X-Request-Id, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
                b"X-Molecule-Overhead-Ms, Link"
            ),
        ),
        (b"vary", b"Origin"),
    ]


def test_an_origin_outside_ascii_is_repeated_byte_for_byte():
    assert CorsPolicy([], "", HostPolicy([])).answer_headers("http://\xe9.example")[0][1] == b"http://\xe9.example"


def test_a_preflight_allows_the_methods_and_headers_of_the_contract():
    assert CorsPolicy([], "", HostPolicy([])).preflight_headers() == {
        "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": (
            "Origin, Content-Type, Authorization, X-CSRF-Token, X-Workspace-ID, X-Timeout, X-Request-Id, "
            "Last-Event-ID, Prefer, A2A-Version, A2A-Extensions"
        ),
        "Access-Control-Max-Age": "600",
    }
