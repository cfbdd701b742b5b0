from ipaddress import ip_network

import pytest

from gateway.proxy_headers import ProxyHeaders

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def scope(peer="10.0.0.1", *, scheme="http", **headers):
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"scheme": scheme, "client": (peer, 1) if peer else None, "server": ("127.0.0.1", 8080), "headers": named}


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.7", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.7", "10.0.0.7"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_client_is_the_last_one_before_the_trusted_proxies(peer, hops, client):
    assert ProxyHeaders(PROXIES, "").client_address(scope(peer, x_forwarded_for=hops)) == client


def test_the_host_header_is_the_address_of_the_plane():
    assert ProxyHeaders([], "").base_url(scope(host="plane.example:8080")) == "http://plane.example:8080"
    assert ProxyHeaders([], "").base_url(scope(host="[::1]:8080", scheme="https")) == "https://[::1]:8080"


def test_forwarded_headers_count_from_trusted_proxies_only():
    said = {"host": "inner:8080", "x_forwarded_proto": "https", "x_forwarded_host": "plane.example"}

    assert ProxyHeaders(PROXIES, "").base_url(scope(**said)) == "https://plane.example"
    assert ProxyHeaders(PROXIES, "").base_url(scope("192.0.2.1", **said)) == "http://inner:8080"
    assert ProxyHeaders([], "").base_url(scope(**said)) == "http://inner:8080"


def test_a_configured_public_url_takes_precedence():
    assert ProxyHeaders([], "https://plane.example").base_url(scope(host="inner")) == "https://plane.example"


@pytest.mark.parametrize("host", ["", "a b", "evil'$(reboot)", 'x"y', "a/b", "a@b", "[::1", "h:123456", "\xff"])
def test_an_invalid_host_is_not_repeated(host):
    assert ProxyHeaders([], "").base_url(scope(host=host)) == "http://127.0.0.1:8080"


def test_an_unknown_scheme_is_not_repeated():
    assert ProxyHeaders(PROXIES, "").base_url(scope(host="h", x_forwarded_proto="gopher")) == "http://h"
