import pytest
from hypothesis import given

from molecule_a2a.interfaces import Interface, read_interfaces
from molecule_a2a.model import Dialect
from tests.molecule_a2a.objects import junk, many, spoilt

LEGACY = {
    "url": "https://a/",
    "preferredTransport": "HTTP+JSON",
    "protocolVersion": "0.2.6",
    "additionalInterfaces": [
        {"url": "https://a/", "transport": "HTTP+JSON"},
        {"url": "https://a/rpc", "transport": "JSONRPC"},
    ],
}

CURRENT = {
    "supportedInterfaces": [
        {"url": "https://a/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"},
        {"url": "https://a/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0.1", "tenant": "t"},
        {"url": "https://a/", "protocolBinding": "GRPC", "protocolVersion": "0.3"},
    ],
}


def interface(url="https://a/", binding="JSONRPC", version="1.0", tenant=""):
    return Interface(url=url, binding=binding, version=version, tenant=tenant)


def test_a_card_of_the_old_dialect():
    found = read_interfaces(LEGACY)
    assert found == [
        interface(binding="HTTP+JSON", version="0.2"),
        interface("https://a/rpc", version="0.2"),
    ]
    assert {one.dialect for one in found} == {Dialect.LEGACY}


def test_a_card_of_the_new_dialect():
    found = read_interfaces(CURRENT)
    assert found == [interface("https://a/rpc", tenant="t"), interface(binding="GRPC", version="0.3")]
    assert [one.dialect for one in found] == [Dialect.CURRENT, Dialect.LEGACY]


def test_tenants_of_one_address_are_different_interfaces():
    shared = {"url": "https://a/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    card = {"supportedInterfaces": [{**shared, "tenant": "t"}, {**shared, "tenant": "u"}, {**shared, "tenant": 5}]}
    assert [one.tenant for one in read_interfaces(card)] == ["t", "u", ""]


def test_a_card_for_both_dialects_names_each_interface_once():
    card = {
        "url": "https://a/",
        "protocolVersion": "0.3.0",
        "supportedInterfaces": [
            {"url": "https://a/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": "https://a/", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
        ],
    }
    assert read_interfaces(card) == [interface(), interface(version="0.3")]
    del card["supportedInterfaces"][1]
    assert read_interfaces(card) == [interface(), interface(version="0.3")]


def test_an_address_without_a_version_does_not_make_an_interface_of_1_0_one_of_0_3_too():
    card = {
        "url": "http://agent/",
        "supportedInterfaces": [{"url": "http://agent/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    }

    assert [one.version for one in read_interfaces(card)] == ["1.0"]
    assert [one.version for one in read_interfaces(card | {"protocolVersion": "0.3.0"})] == ["1.0", "0.3"]


def test_an_interface_of_1_0_without_a_version_is_not_repeated_as_0_3():
    """The SDK writes these members of 0.3 for it, and answers no request of 0.3."""
    card = {
        "supportedInterfaces": [
            {"url": "https://a/", "protocol_binding": "JSONRPC"},
            {"url": "https://a/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": ""},
        ],
        "url": "https://a/",
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3",
        "additionalInterfaces": [
            {"url": "https://a/rest", "transport": "HTTP+JSON"},
            {"url": "https://a/old", "transport": "HTTP+JSON"},
        ],
    }
    assert read_interfaces(card) == [
        interface(),
        interface("https://a/rest", "HTTP+JSON"),
        interface("https://a/old", "HTTP+JSON", "0.3"),
    ]


@pytest.mark.parametrize(
    ("card", "version", "dialect"),
    [
        ({"supportedInterfaces": [{"url": "https://a/"}]}, "1.0", Dialect.CURRENT),
        ({"supportedInterfaces": [{"url": "https://a/", "protocolVersion": ""}]}, "1.0", Dialect.CURRENT),
        ({"supportedInterfaces": [{"url": "https://a/", "protocolVersion": "1"}]}, "1.0", Dialect.CURRENT),
        ({"supportedInterfaces": [{"url": "https://a/"}], "protocolVersion": "0.3.0"}, "1.0", Dialect.CURRENT),
        ({"url": "https://a/"}, "0.3", Dialect.LEGACY),
        ({"url": "https://a/", "protocolVersion": 5}, "0.3", Dialect.LEGACY),
        ({"url": "https://a/", "protocolVersion": "1.0.1"}, "1.0", Dialect.CURRENT),
        ({"additionalInterfaces": [{"url": "https://a/"}], "protocolVersion": "1.0"}, "1.0", Dialect.CURRENT),
        ({"url": "https://a/", "protocolVersion": "2.0"}, "2.0", None),
    ],
)
def test_the_version_of_an_interface(card, version, dialect):
    assert read_interfaces(card) == [interface(version=version)]
    assert read_interfaces(card)[0].dialect is dialect


def test_snake_case_is_read():
    card = {
        "supported_interfaces": [{"url": "https://a/", "protocol_binding": "GRPC", "protocol_version": "0.3"}],
    }
    assert read_interfaces(card) == [interface(binding="GRPC", version="0.3")]


@pytest.mark.parametrize(
    "card",
    [
        None,
        [],
        {},
        {"url": ""},
        {"url": 5},
        {"supportedInterfaces": [{}, None, {"url": ""}, {"url": ["x"]}]},
        {"supportedInterfaces": {"url": "https://a/"}},
        {"additionalInterfaces": ["https://a/"]},
    ],
)
def test_an_interface_has_an_address(card):
    assert read_interfaces(card) == []


@many
@given(spoilt(LEGACY, CURRENT) | junk)
def test_any_card_has_interfaces_or_none(card):
    assert all(one.url and isinstance(one.version, str) and one.binding for one in read_interfaces(card))


def test_snake_case_is_read_at_the_top_of_a_card():
    card = {"url": "https://a/", "protocol_version": "1.0", "preferred_transport": "HTTP+JSON"}
    assert read_interfaces({**card, "additional_interfaces": [{"url": "https://a/rpc", "transport": "JSONRPC"}]}) == [
        interface(binding="HTTP+JSON"),
        interface("https://a/rpc"),
    ]
