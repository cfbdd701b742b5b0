import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hosts import HostPolicy, parse_host


@pytest.mark.covers("EDGE-36")
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("plane.example", "plane.example"),
        ("Plane.Example:8080", "plane.example"),
        ("plane.example.:8080", "plane.example"),
        ("plane_1-a", "plane_1-a"),
        ("plane.example:", "plane.example"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[FE80::1]", "fe80::1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("[127.0.0.1]", None),
        ("[fe80::1%25eth0]", None),
        ("[::1", None),
        ("::1", None),
        ("a@b", None),
        ("a/b", None),
        ("a b", None),
        ("a,b", None),
        ("a:b", None),
        ("a:123456", None),
        ("http://a", None),
        ("", None),
        (".", None),
        (":80", None),
        ("\xe9.example", None),
        ("\u0661", None),
        ("a" * 270, "a" * 270),
        ("a" * 271, None),
    ],
)
def test_a_host_is_read_without_port_case_and_final_dot(text, name):
    assert parse_host(text) == name


@pytest.mark.covers("EDGE-36")
def test_localhost_ip_addresses_and_the_names_of_the_plane_are_allowed():
    hosts = HostPolicy(["plane.example", "gateway"])

    for host in (b"localhost:1", b"10.0.0.7", b"[::1]:80", b"PLANE.example.", b"gateway:8080", b"host.docker.internal"):
        assert hosts.allows(host)
    for host in (b"plane.example.evil", b"evil.plane.example", b"example", b"localhost.evil", b"10.0.0", b"\xff", b""):
        assert not hosts.allows(host)


@pytest.mark.covers("EDGE-36")
@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_other_text_is_no_host_of_the_plane(text):
    name = text.lower().split(":")[0].removesuffix(".")
    is_address = all(part.isdecimal() for part in name.split(".")) or text.startswith("[")

    assert not HostPolicy([]).allows(text.encode("latin-1")) or name == "localhost" or is_address


@pytest.mark.covers("EDGE-36")
def test_the_hosts_used_last_are_remembered_and_no_more():
    hosts = HostPolicy([])
    for number in range(300):
        hosts.allows(b"10.0.0.1:%d" % number)

    assert hosts.allows.cache_info().currsize == 256
