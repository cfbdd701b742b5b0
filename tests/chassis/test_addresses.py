"""The address rules of the public contract."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from services.chassis.addresses import (
    FORBIDDEN_NETWORKS,
    LOOPBACK_NETWORKS,
    METADATA_NETWORKS,
    PRIVATE_NETWORKS,
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
METADATA = [
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
    "fd00:a9fe:a9fe::1",
    "::ffff:100.100.100.200",
    "64:ff9b::a83f:8110",
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
]
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
    "ff0e::1",
    "192.0.0.1",
    "192.0.0.9",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "224.0.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2002::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fec0::1",
    "64:ff9b:1::1",
    "::1.1.1.1",
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


@pytest.mark.covers("A2A-16", "HOS-07")
@pytest.mark.parametrize("rules", [PRODUCTION, DEVELOPMENT, SAAS])
@pytest.mark.parametrize("address", [*METADATA, *OTHERS])
def test_reserved_and_metadata_addresses_are_refused_in_every_mode(address, rules):
    assert find_ip_refusal(address, rules) is AddressRefusal.FORBIDDEN


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("0.0.0.0", "0.255.255.255"),  # noqa: S104 - judged, not bound
        ("100.64.0.0", "100.127.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "239.255.255.255"),
        ("240.0.0.0", "255.255.255.255"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fc00::", "fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_a_forbidden_network_is_refused_from_its_first_address_to_its_last(first, last):
    assert find_ip_refusal(first, DEVELOPMENT) is AddressRefusal.FORBIDDEN
    assert find_ip_refusal(last, DEVELOPMENT) is AddressRefusal.FORBIDDEN


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1%eth0",
        "2606:4700::1111%",
        "2606:4700::1111%eth0",
        "::1%lo",
        "::ffff:127.0.0.1%lo",
        "%eth0",
        "fe80::1%25",
    ],
)
def test_an_address_with_a_zone_is_refused(address):
    assert find_ip_refusal(address, DEVELOPMENT) is AddressRefusal.FORBIDDEN


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
        "http://[::1];a/",
        "http://[::1]%20/",
        "http://[::1]a:80/",
        "http://[1.2.3.4]/",
        "http://[1.2.3.4]a/",
        "http://h\n/",
        "x" * 3000,
    ],
)
def test_an_invalid_url_has_no_endpoint(url):
    assert parse_endpoint(url) is None


def test_a_url_has_a_host_and_a_port():
    assert parse_endpoint("http://Agent:8000/a2a") == Endpoint(host="agent", port=8000)
    assert parse_endpoint("https://agent/") == Endpoint(host="agent", port=443)


@pytest.mark.parametrize(
    ("url", "port"), [("http://agent/", 80), ("https://agent/", 443), ("http://agent:0/", 0), ("https://agent:80/", 80)]
)
def test_a_url_without_a_port_has_that_of_its_scheme(url, port):
    assert parse_endpoint(url) == Endpoint(host="agent", port=port)


@pytest.mark.parametrize(("length", "is_parsed"), [(2048, True), (2049, False)])
def test_a_url_is_parsed_up_to_its_limit(length, is_parsed):
    url = "http://agent/".ljust(length, "x")

    assert (parse_endpoint(url) is not None) is is_parsed


@pytest.mark.parametrize(
    ("character", "is_allowed"), [("!", True), ("~", True), (" ", False), ("\x7f", False), ("\0", False), ("ü", False)]
)
def test_a_url_consists_of_printable_ascii(character, is_allowed):
    assert (parse_endpoint(f"http://agent/{character}") is not None) is is_allowed


@pytest.mark.parametrize("credentials", ["user@", "user:@", ":password@", "@", ":@"])
def test_a_url_with_credentials_is_refused(credentials):
    assert parse_endpoint(f"http://{credentials}agent/") is None


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("2002:a00:1::1", AddressRefusal.FORBIDDEN),
        ("2002:7f00:1::1", AddressRefusal.FORBIDDEN),
        ("2002:808:808::1", AddressRefusal.FORBIDDEN),
        ("64:ff9b::a00:1", AddressRefusal.PRIVATE),
        ("64:ff9b::808:808", None),
        ("64:ff9b::a00:0", AddressRefusal.PRIVATE),
        ("64:ff9b::c0a8:1ff", AddressRefusal.PRIVATE),
        ("64:ff9b:0:0:1::a00:1", AddressRefusal.FORBIDDEN),
        ("64:ff9b::7f00:1", AddressRefusal.LOOPBACK),
        ("64:ff9b:1::808:808", AddressRefusal.FORBIDDEN),
        ("::8.8.8.8", AddressRefusal.FORBIDDEN),
        ("::127.0.0.1", AddressRefusal.FORBIDDEN),
        ("::ffff:8.8.8.8", None),
    ],
)
def test_an_ipv4_address_inside_an_ipv6_address_is_checked(address, refusal):
    assert find_ip_refusal(address, PRODUCTION) is refusal


@pytest.mark.parametrize("address", ["", "agent", "10.0.0", "1.2.3.4.5"])
def test_a_text_that_is_no_address_is_refused_as_forbidden(address):
    assert find_ip_refusal(address, DEVELOPMENT) is AddressRefusal.FORBIDDEN


@pytest.mark.parametrize(("address", "is_allowed"), [("10.1.2.3", True), ("10.2.0.0", False), ("fd00::1", False)])
def test_a_private_network_that_the_operator_lists_is_allowed_in_production(address, is_allowed):
    rules = AddressRules(allowed=(ip_network("10.1.0.0/16"),))

    assert (find_ip_refusal(address, rules) is None) is is_allowed


def test_loopback_cannot_be_allowed_by_a_list():
    rules = AddressRules(saas=True, allowed=(ip_network("127.0.0.0/8"),))

    assert find_ip_refusal("127.0.0.1", rules) is AddressRefusal.LOOPBACK


def test_the_first_refusal_of_a_host_is_reported():
    assert find_address_refusal(["10.0.0.1", "127.0.0.1"], PRODUCTION) is AddressRefusal.PRIVATE
    assert find_address_refusal(["8.8.8.8", "127.0.0.1"], PRODUCTION) is AddressRefusal.LOOPBACK
    assert find_address_refusal(["8.8.8.8", "1.1.1.1"], PRODUCTION) is None


def test_the_texts_of_the_refusals_stay():
    assert [str(refusal) for refusal in AddressRefusal] == [
        "not an absolute http or https URL",
        "the host cannot be resolved",
        "the host resolves to an address that is never allowed",
        "the host resolves to this machine",
        "the host resolves to a private network",
        "the address is that of the plane itself",
    ]


def test_every_bit_of_an_embedded_address_counts():
    rules = AddressRules(allowed=(ip_network("10.0.0.1/32"),))

    assert find_ip_refusal("64:ff9b::a00:1", rules) is None
    assert find_ip_refusal("64:ff9b::a00:0", rules) is AddressRefusal.PRIVATE


def test_rules_and_endpoints_are_values():
    assert not hasattr(AddressRules(), "__dict__")
    assert not hasattr(Endpoint(host="a", port=1), "__dict__")
    with pytest.raises(TypeError):
        Endpoint("a", 1)
    with pytest.raises(TypeError):
        AddressRules(True)
    assert hash(AddressRules()) == hash(AddressRules())
    assert hash(Endpoint(host="a", port=1)) == hash(Endpoint(host="a", port=1))


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


# Against ipaddress ────────────────────────────────────────────────────────────

EVERY_NETWORK = AddressRules(development=True, saas=True, allowed=(ip_network("0.0.0.0/0"), ip_network("::/0")))

SPECIAL_PREFIXES = [
    *(network.network_address for network in [*FORBIDDEN_NETWORKS, *LOOPBACK_NETWORKS, *PRIVATE_NETWORKS]),
    *map(ip_address, ["::ffff:0:0", "64:ff9b::", "64:ff9b:1::", "2001::", "2002::", "100::", "fec0::", "5f00::", "::"]),
]

ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.builds(
        lambda base, offset: type(base)((int(base) + offset) % 2**base.max_prefixlen),
        st.sampled_from(SPECIAL_PREFIXES),
        st.integers(min_value=0, max_value=2**33),
    ),
    st.ip_addresses(v=4).map(lambda address: IPv6Address(int(IPv6Address("::ffff:0:0")) + int(address))),
    st.ip_addresses(v=4).map(lambda address: IPv6Address(int(IPv6Address("64:ff9b::")) + int(address))),
)


def find_destination(address):
    """Return the IPv4 address in an IPv4-mapped or NAT64 address, found in its text."""
    if isinstance(address, IPv6Address):
        for prefix in ("::ffff:0:0/96", "64:ff9b::/96"):
            if address in ip_network(prefix):
                return IPv4Address(int(address) % 2**32)
    return address


@pytest.mark.covers("HOS-07")
@given(ADDRESSES)
def test_production_allows_only_addresses_that_ipaddress_calls_global(address):
    if find_ip_refusal(str(address), PRODUCTION) is None:
        reached = find_destination(address)
        assert reached.is_global
        kinds = ("multicast", "private", "reserved", "loopback", "link_local", "unspecified", "site_local")
        assert not [kind for kind in kinds if getattr(reached, f"is_{kind}", False)]
        assert not [tunnel for tunnel in ("sixtofour", "teredo") if getattr(reached, tunnel, None)]


@pytest.mark.covers("HOS-07")
@given(ADDRESSES)
def test_the_modes_allow_private_and_loopback_networks_only(address):
    if find_ip_refusal(str(address), EVERY_NETWORK) is None and find_ip_refusal(str(address), PRODUCTION) is not None:
        reached = find_destination(address)
        exceptions = [*LOOPBACK_NETWORKS, *PRIVATE_NETWORKS]
        assert any(reached.version == network.version and reached in network for network in exceptions)


@pytest.mark.covers("HOS-07")
@given(st.sampled_from(METADATA_NETWORKS), st.integers(min_value=0), st.booleans())
def test_no_setting_allows_a_metadata_address(network, offset, is_mapped):
    address = network[offset % min(network.num_addresses, 2**64)]
    if is_mapped and address.version == 4:
        address = IPv6Address(int(IPv6Address("::ffff:0:0")) + int(address))
    assert find_ip_refusal(str(address), EVERY_NETWORK) is AddressRefusal.FORBIDDEN


# Hosts that programs read differently ─────────────────────────────────────────


@pytest.mark.covers("HOS-08")
@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "2130706433",
        "0",
        "0x7f.1",
        "0x7f000001",
        "0X7F000001",
        "0x",
        "1.2.3.4.5",
        "1.2.3.256",
        "127.0.0.1.",
        "agent.",
        "agent..example",
        ".agent",
        "agent.1",
        "agent.0x1",
        "\uff11\uff12\uff17.0.0.1",
        "%31%32%37.0.0.1",
        "127%2e0.0.1",
        "ag%65nt",
        "user@agent",
        "user:pass@127.0.0.1",
        "agent\\@127.0.0.1",
        "127.0.0.1\\agent",
        "agent,example",
        "agent;example",
        "agent!",
        "-agent",
        "[::1%lo]",
        "[fe80::1%25eth0]",
        "[::1",
        "::1",
        "[v1.x]",
        "[127.0.0.1]",
        "a" * 64,
        ".".join(["a" * 60] * 5),
    ],
)
def test_a_host_that_programs_read_differently_is_refused(host):
    assert parse_endpoint(f"http://{host}/") is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[2606:4700::1111]",
        "agent",
        "agent_1",
        "ws-0123456789ab",
        "a.b-c.example",
        "xn--bcher-kva.de",
        "1a.2b",
    ],
)
def test_a_usual_host_is_allowed(host):
    assert parse_endpoint(f"http://{host}:8000/") == Endpoint(host=host.strip("[]"), port=8000)


@pytest.mark.covers("HOS-08")
@given(
    st.text(alphabet="01789xXaf.:@/\\[]%#?-_ ", max_size=25),
    st.sampled_from(["http://", "https://", "http:/", "http:", "HTTP://"]),
)
def test_a_url_that_is_allowed_has_the_same_host_for_the_http_client(rest, scheme):
    endpoint = parse_endpoint(scheme + rest)
    if endpoint is not None:
        assert URL(scheme + rest, encoded=True).raw_host.lower() == endpoint.host


@pytest.mark.covers("HOS-08")
@given(st.text(alphabet="0123456789xabcdef.", max_size=20))
def test_a_host_that_the_resolver_reads_as_an_address_is_written_as_one(host):
    endpoint = parse_endpoint(f"http://{host}/")
    if endpoint is not None:
        try:
            read = socket.inet_aton(endpoint.host)
        except OSError:
            return
        assert endpoint.host == socket.inet_ntoa(read)
