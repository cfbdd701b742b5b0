"""The address rules of the public contract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.addresses import NEVER, Place, Refusal, Rules, judge, judge_one, place

PRODUCTION = Rules()
DEVELOPMENT = Rules(development=True)
SAAS = Rules(saas=True)

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
def test_private_networks_are_for_development_and_saas(address):
    assert judge_one(address, PRODUCTION) is Refusal.PRIVATE
    assert judge_one(address, DEVELOPMENT) is None
    assert judge_one(address, SAAS) is None


@pytest.mark.covers("A2A-16", "REG-15")
@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_for_development_only(address):
    assert judge_one(address, PRODUCTION) is Refusal.LOOPBACK
    assert judge_one(address, SAAS) is Refusal.LOOPBACK
    assert judge_one(address, DEVELOPMENT) is None


@pytest.mark.covers("A2A-16")
@pytest.mark.parametrize("rules", [PRODUCTION, DEVELOPMENT, SAAS])
@pytest.mark.parametrize("address", [*METADATA, *OTHERS])
def test_what_no_agent_serves_is_refused_in_every_mode(address, rules):
    assert judge_one(address, rules) is Refusal.FORBIDDEN


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address):
    assert judge_one(address, PRODUCTION) is None


def test_one_bad_address_among_several_is_enough():
    assert judge(["8.8.8.8", "169.254.169.254"], PRODUCTION) is Refusal.FORBIDDEN


def test_a_host_without_addresses_is_refused():
    assert judge([], DEVELOPMENT) is Refusal.UNRESOLVABLE


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
def test_what_is_no_url_leads_nowhere(url):
    assert place(url) is None


def test_a_url_leads_to_its_host_and_port():
    assert place("http://Agent:8000/a2a") == Place(host="agent", port=8000)
    assert place("https://agent/") == Place(host="agent", port=443)


@given(st.text())
def test_no_text_is_too_strange_to_judge(text):
    place(text)
    assert judge_one(text, PRODUCTION) in {None, *Refusal}


@given(st.sampled_from(NEVER), st.integers(min_value=0))
def test_no_list_of_the_operator_opens_what_is_never_allowed(network, offset):
    address = network[offset % min(network.num_addresses, 2**32)]
    assert judge_one(str(address), Rules(development=True, saas=True, allowed=(network,))) is Refusal.FORBIDDEN
