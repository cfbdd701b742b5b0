"""The interfaces of a card, as they are stored beside the workspace."""

from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace import interfaces
from services.registry.workspace.interfaces import extract_interfaces, parse_interfaces, serialize_interfaces
from services.registry.workspace.model import AgentInterface

URL = "https://agent.test/a2a"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["url", "supportedInterfaces", "supported_interfaces", "additionalInterfaces", "protocolVersion", "transport"]
)


def current(**fields) -> dict:
    return {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"} | fields


def test_the_interfaces_of_both_dialects_are_read_in_the_order_of_the_card():
    card = {"supportedInterfaces": [current(), current(protocolBinding="GRPC", tenant="t")], "url": URL + "/old"}

    assert extract_interfaces(card) == (
        AgentInterface(url=URL, binding="JSONRPC", version="1.0"),
        AgentInterface(url=URL, binding="GRPC", version="1.0", tenant="t"),
        AgentInterface(url=URL + "/old", binding="JSONRPC", version="0.3"),
    )


def test_an_interface_without_a_version_is_1_0_and_a_card_without_one_is_0_3():
    assert extract_interfaces({"supported_interfaces": [{"url": URL}]})[0].version == "1.0"
    assert extract_interfaces({"url": URL})[0].version == "0.3"


def test_texts_that_are_too_long_or_unprintable_are_skipped():
    long = [current(url="x" * (interfaces.MAX_URL_CHARS + 1)), current(tenant="x" * (interfaces.MAX_TEXT_CHARS + 1))]
    odd = [current(url="http://a\0b"), current(protocolVersion="1\n0")]

    assert extract_interfaces({"supportedInterfaces": [*long, *odd, current()]}) == (
        AgentInterface(url=URL, binding="JSONRPC", version="1.0"),
    )


def test_a_card_offers_a_limited_number_of_interfaces():
    many = [current(url=f"{URL}/{number}") for number in range(interfaces.MAX_INTERFACES + 5)]

    assert len(extract_interfaces({"supportedInterfaces": many})) == interfaces.MAX_INTERFACES


@given(json_values | st.dictionaries(names, json_values))
def test_any_card_gives_interfaces_that_can_be_stored_and_read(card):
    found = extract_interfaces(card)

    assert parse_interfaces(serialize_interfaces(found)) == found
    assert "\0" not in serialize_interfaces(found)
