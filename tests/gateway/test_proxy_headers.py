from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.text(st.characters(max_codepoint=255)))
def test_without_trusted_proxies_the_peer_is_the_client(hops):
    assert ProxyHeaders([], "").client_address(scope("10.0.0.1", x_forwarded_for=hops)) == "10.0.0.1"


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        (["198.51.100.1", "10.0.0.7"], "198.51.100.1"),
        (["10.0.0.7", "198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1, 10.0.0.8", " 10.0.0.7 "], "198.51.100.1"),
        (["198.51.100.1", "", "10.0.0.7"], "10.0.0.7"),
        (["198.51.100.1", "unknown", "10.0.0.7"], "unknown"),
        (["10.0.0.9", "10.0.0.8", "10.0.0.7"], "10.0.0.9"),
    ],
)
def test_all_headers_of_the_hops_count_in_their_order(hops, client):
    one = scope("10.0.0.1")
    one["headers"] = [(b"x-forwarded-for", hop.encode()) for hop in hops]

    assert ProxyHeaders(PROXIES, "").client_address(one) == client


def test_a_peer_without_an_ip_address_is_not_trusted():
    said = {"host": "inner", "x_forwarded_host": "plane.example", "x_forwarded_for": "198.51.100.1"}

    for peer in ("unix", "10.0.0", ""):
        assert ProxyHeaders(PROXIES, "").client_address(scope(peer, **said)) == peer
        assert ProxyHeaders(PROXIES, "").request_url(scope(peer, **said)) == "http://inner"


def test_the_first_value_of_a_forwarded_header_counts():
    said = {"x_forwarded_proto": " https , http", "x_forwarded_host": " plane.example , inner"}
    one = scope(host="inner", **said)
    one["headers"].append((b"x-forwarded-host", b"second.example"))

    assert ProxyHeaders(PROXIES, "").request_url(one) == "https://plane.example"


def test_each_forwarded_header_may_come_alone():
    proxies = ProxyHeaders(PROXIES, "")

    assert proxies.request_url(scope(host="inner", x_forwarded_proto="https")) == "https://inner"
    assert proxies.request_url(scope(host="inner", x_forwarded_host="plane.example")) == "http://plane.example"
    assert proxies.request_url(scope(host="inner", scheme="https", x_forwarded_proto="")) == "https://inner"


def test_the_url_of_the_request_is_not_the_configured_one():
    assert ProxyHeaders([], "https://plane.example").request_url(scope(host="inner")) == "http://inner"


@pytest.mark.parametrize("scheme", ["ws", "wss", "HTTPS", ""])
def test_a_scheme_other_than_http_and_https_becomes_http(scheme):
    assert ProxyHeaders([], "").request_url(scope(host="h", scheme=scheme)) == "http://h"


@pytest.mark.parametrize("host", ["h:1", "h:65535", "a-b_c.D9", "[::1]", "[fe80::7.1]:8080"])
def test_a_valid_host_is_repeated(host):
    assert ProxyHeaders([], "").request_url(scope(host=host)) == f"http://{host}"


def test_a_socket_without_an_address_is_localhost():
    one = scope(host="a b")

    assert ProxyHeaders([], "").request_url(one | {"server": None}) == "http://localhost"
    assert ProxyHeaders([], "").request_url({"scheme": "http", "headers": []}) == "http://localhost"
