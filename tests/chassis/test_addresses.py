"""The address rules of the public contract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.addresses import (
    FORBIDDEN_NETWORKS,
    AddressRefusal,
    AddressRules,
    Endpoint,
    find_address_refusal,
    find_ip_refusal,
    parse_endpoint,
)

PRODUCTION = AddressRules()
DEVELOPMENT = AddressRules(development=True)
SAAS = AddressRules(saas=True)

PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "::ffff:10.0.0.1"]
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
METADATA = ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]
OTHERS = [
    "0.0.0.0",  # noqa: S104 - judged, not bound
    "100.64.0.1",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "::",
    "2001:db8::1",
    "fc00::1",
    "ff02::1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "172.32.0.1", "11.0.0.1"]


@pytest.mark.covers("A2A-16")
@pytest.mark.parametrize("address", PRIVATE)
def test_private_networks_are_allowed_in_development_and_saas_mode(address):
    assert find_ip_refusal(address, PRODUCTION) is AddressRefusal.PRIVATE
    assert find_ip_refusal(address, DEVELOPMENT) is None
    assert find_ip_refusal(address, SAAS) is None


@pytest.mark.covers("A2A-16", "REG-15")
@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_allowed_in_development_only(address):
    assert find_ip_refusal(address, PRODUCTION) is AddressRefusal.LOOPBACK
    assert find_ip_refusal(address, SAAS) is AddressRefusal.LOOPBACK
    assert find_ip_refusal(address, DEVELOPMENT) is None


@pytest.mark.covers("A2A-16")
@pytest.mark.parametrize("rules", [PRODUCTION, DEVELOPMENT, SAAS])
@pytest.mark.parametrize("address", [*METADATA, *OTHERS])
def test_reserved_and_metadata_addresses_are_refused_in_every_mode(address, rules):
    assert find_ip_refusal(address, rules) is AddressRefusal.FORBIDDEN


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address):
    assert find_ip_refusal(address, PRODUCTION) is None


def test_one_refused_address_among_several_refuses_the_host():
    assert find_address_refusal(["8.8.8.8", "169.254.169.254"], PRODUCTION) is AddressRefusal.FORBIDDEN


def test_a_host_without_addresses_is_refused():
    assert find_address_refusal([], DEVELOPMENT) is AddressRefusal.UNRESOLVABLE


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "ftp://h/",
        "//h",
        "http://",
        "http://u:p@h/",
        "http://h:99999/",
        "http://h:x/",
        "http://h\n/",
        "x" * 3000,
    ],
)
def test_an_invalid_url_has_no_endpoint(url):
    assert parse_endpoint(url) is None


def test_a_url_has_a_host_and_a_port():
    assert parse_endpoint("http://Agent:8000/a2a") == Endpoint(host="agent", port=8000)
    assert parse_endpoint("https://agent/") == Endpoint(host="agent", port=443)


@given(st.text())
def test_arbitrary_texts_are_checked_without_an_error(text):
    parse_endpoint(text)
    assert find_ip_refusal(text, PRODUCTION) in {None, *AddressRefusal}


@given(st.sampled_from(FORBIDDEN_NETWORKS), st.integers(min_value=0))
def test_an_allowed_network_does_not_allow_forbidden_addresses(network, offset):
    address = network[offset % min(network.num_addresses, 2**32)]
    assert (
        find_ip_refusal(str(address), AddressRules(development=True, saas=True, allowed=(network,)))
        is AddressRefusal.FORBIDDEN
    )
