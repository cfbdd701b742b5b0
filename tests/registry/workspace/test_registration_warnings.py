import pytest
from hypothesis import given

from services.registry.workspace.model import DeliveryMode
from services.registry.workspace.registration_warnings import UNUSED_CARD, UNUSED_URL, list_warnings
from tests.molecule_a2a.objects import junk

URL = "https://agent.example/"


def interface(binding, version="1.0"):
    return {"url": URL, "protocolBinding": binding, "protocolVersion": version}


@pytest.mark.parametrize(
    ("card", "warnings"),
    [
        ({}, ()),
        ({"name": "n"}, ()),
        ({"url": URL}, ()),
        ({"url": URL, "preferredTransport": "GRPC"}, (UNUSED_CARD,)),
        (
            {"url": URL, "preferredTransport": "GRPC", "additionalInterfaces": [{"url": URL, "transport": "JSONRPC"}]},
            (),
        ),
        ({"supportedInterfaces": []}, ()),
        ({"supportedInterfaces": [interface("JSONRPC")]}, ()),
        ({"supportedInterfaces": [interface("JSONRPC", "0.3.0")]}, ()),
        ({"supportedInterfaces": [interface("JSONRPC", "")]}, ()),
        ({"supportedInterfaces": [interface("JSONRPC", "1")]}, ()),
        ({"supportedInterfaces": [interface("JSONRPC", "2.0")]}, (UNUSED_CARD,)),
        (
            {"supportedInterfaces": [interface("GRPC", "0.3"), interface("https://bindings.example/own")]},
            (UNUSED_CARD,),
        ),
        ({"supportedInterfaces": [interface("GRPC"), interface("JSONRPC")]}, ()),
        ({"supported_interfaces": [{"url": URL, "protocol_binding": "OTHER"}]}, (UNUSED_CARD,)),
        ({"supported_interfaces": [{"url": URL, "protocol_binding": "GRPC"}]}, ()),
    ],
)
def test_an_agent_is_told_that_its_card_names_nothing_that_the_plane_can_use(card, warnings):
    assert list_warnings(card, delivery_mode=DeliveryMode.PUSH, url=URL) == warnings
    assert list_warnings(card, delivery_mode=DeliveryMode.PUSH) == warnings
    assert list_warnings(card, delivery_mode=DeliveryMode.POLL) == ()


def test_an_agent_is_told_that_its_url_is_not_used():
    assert list_warnings({}, delivery_mode=DeliveryMode.POLL, url=URL) == (UNUSED_URL,)


@given(junk)
def test_any_card_can_be_judged(card):
    for mode in DeliveryMode:
        assert list_warnings(card, delivery_mode=mode, url=URL) in {(), (UNUSED_CARD,), (UNUSED_URL,)}


def require(*alternatives, schemes):
    return {"securitySchemes": schemes, "security": [{name: [] for name in names} for names in alternatives]}


SCHEMES = {
    "k": {"type": "apiKey", "in": "header", "name": "X-K"},
    "b": {"type": "http", "scheme": "bearer"},
    "o": {"type": "oauth2", "flows": {}},
}
KEY, BEARER = "A2A_CREDENTIAL_K", "A2A_CREDENTIAL_B"


@pytest.mark.parametrize(
    ("alternatives", "known", "words"),
    [
        ([("k",)], {KEY}, None),
        ([("k",)], set(), f"set the secret {KEY},"),
        ([("k", "b")], {KEY}, f"set the secret {KEY} and {BEARER},"),
        ([("k",), ("b",)], {BEARER}, None),
        ([("k",), ("b",)], set(), f"set the secret {KEY} or {BEARER},"),
        ([("k",), ()], set(), None),
        ([("k",)], None, None),
        ([("o",)], {KEY}, "cannot fulfil ('o': oauth2)"),
        ([("o", "k")], {KEY}, "cannot fulfil ('o': oauth2, 'k': api_key_header)"),
        ([("o",), ("k",)], {KEY}, None),
        ([("o",)], None, "cannot fulfil ('o': oauth2)"),
    ],
)
def test_an_agent_is_told_which_credential_the_plane_lacks(alternatives, known, words):
    card = require(*alternatives, schemes=SCHEMES)
    found = list_warnings(card, delivery_mode=DeliveryMode.PUSH, credential_keys=known)
    assert found == () if words is None else words in found[0]
