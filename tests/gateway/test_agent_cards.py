import json

import pytest
from a2a.client.card_resolver import parse_agent_card
from hypothesis import given
from hypothesis import strategies as st

from gateway import agent_cards
from gateway.json_format import encode_json

URL = "https://plane.example/workspaces/w/a2a"
INSIDE = "http://10.1.2.3:9000"

LEGACY = {
    "name": "n",
    "description": "d",
    "version": "1",
    "protocolVersion": "0.3.0",
    "url": f"{INSIDE}/",
    "preferredTransport": "JSONRPC",
    "additionalInterfaces": [
        {"url": f"{INSIDE}/", "transport": "JSONRPC"},
        {"url": f"{INSIDE}/grpc", "transport": "GRPC"},
    ],
    "capabilities": {"streaming": True},
    "supportsAuthenticatedExtendedCard": True,
    "securitySchemes": {"own": {"type": "apiKey", "in": "header", "name": "X"}},
    "security": [{"own": []}],
    "skills": [{"id": "s", "name": "s", "security": [{"own": []}]}],
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "signatures": [{"protected": "p", "signature": "s"}],
    "x-vendor": {"kept": 1},
}

CURRENT = {
    "name": "n",
    "supportedInterfaces": [
        {"url": f"{INSIDE}/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
        {"url": f"{INSIDE}/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"},
        {"url": f"{INSIDE}/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
    ],
    "capabilities": {"streaming": True, "extendedAgentCard": True},
    "securitySchemes": {"own": {"httpAuthSecurityScheme": {"scheme": "Basic"}}},
    "securityRequirements": [{"schemes": {"own": {"list": []}}}],
    "signatures": [{"protected": "p", "signature": "s"}],
}

HYBRID = {
    **LEGACY,
    "supportedInterfaces": [
        {"url": f"{INSIDE}/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": f"{INSIDE}/", "protocolBinding": "JSONRPC", "protocolVersion": "0.3.0"},
    ],
}

members = st.sampled_from(sorted({*LEGACY, *CURRENT, "protocolBinding", "transport", "tenant"}))
texts = st.sampled_from(["", "JSONRPC", "GRPC", "1.0", "0.3", "0.3.0", INSIDE])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=3),
    max_leaves=8,
)
junk = st.dictionaries(members, json_values)


def public(card, *, bearer_needed=True):
    return agent_cards.render_hybrid_card(card, url=URL, bearer_needed=bearer_needed)


def pure(card):
    return agent_cards.render_current_card(card, url=URL, bearer_needed=True)


def versions(shown):
    return [interface["protocolVersion"] for interface in shown["supportedInterfaces"]]


@pytest.mark.parametrize("card", [LEGACY, CURRENT, HYBRID], ids=["legacy", "current", "hybrid"])
@pytest.mark.parametrize("form", [public, pure])
def test_a_rendered_card_has_none_of_the_agents_addresses_and_credentials(card, form):
    text = json.dumps(form(card))

    assert INSIDE not in text
    assert "own" not in text
    assert "signatures" not in text
    assert "GRPC" not in text


@given(junk)
def test_members_of_unexpected_types_are_ignored(card):
    for form in (public, pure):
        shown = form(card)
        encode_json(shown)
        assert all(interface["url"] == URL for interface in shown["supportedInterfaces"])
        assert shown.get("url", URL) == URL


@given(junk)
def test_a_card_rendered_twice_is_the_same(card):
    assert pure(public(card)) == pure(card)


@given(junk)
def test_rendering_does_not_change_the_stored_card(card):
    before = json.dumps(card)
    public(card)

    assert json.dumps(card) == before


def test_clients_of_both_versions_read_a_hybrid_card():
    shown = public(HYBRID)

    assert versions(shown) == ["1.0", "0.3"]
    assert (shown["url"], shown["preferredTransport"], shown["protocolVersion"]) == (URL, "JSONRPC", "0.3.0")
    assert shown["supportsAuthenticatedExtendedCard"] is True
    assert shown["capabilities"] == {"streaming": True, "extendedAgentCard": True}


def test_an_agent_of_1_0_only_has_no_legacy_members():
    shown = public(CURRENT)

    assert shown["supportedInterfaces"] == [
        {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"}
    ]
    assert "url" not in shown


def test_a_legacy_agent_is_declared_in_both_forms():
    assert versions(public(LEGACY)) == versions(pure(LEGACY)) == ["0.3"]


def test_a_card_without_an_address_counts_as_legacy():
    assert versions(public({"name": "n"})) == ["0.3"]
    assert public({"name": "n"})["url"] == URL


def test_an_agent_without_json_rpc_has_no_interface():
    grpc_only = {"supportedInterfaces": [{"protocolBinding": "GRPC", "protocolVersion": "1.0"}]}

    assert versions(public(grpc_only)) == []
    assert versions(public({"url": INSIDE, "preferredTransport": "GRPC"})) == []


def test_the_current_form_has_no_legacy_member():
    assert not set(pure(HYBRID)) & set(agent_cards.LEGACY_MEMBERS)
    assert pure(HYBRID)["securitySchemes"] == {"molecule": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}


def test_a_card_requires_a_bearer_if_the_plane_needs_one():
    assert public(HYBRID)["security"] == [{"molecule": []}]
    assert public(HYBRID)["securityRequirements"] == [{"schemes": {"molecule": {"list": []}}}]

    nobody_asks = public(HYBRID, bearer_needed=False)
    assert not {"security", "securityRequirements"} & set(nobody_asks)


def test_members_without_addresses_and_credentials_stay():
    assert public(LEGACY)["x-vendor"] == {"kept": 1}
    assert public(LEGACY)["skills"] == [{"id": "s", "name": "s"}]


@pytest.mark.parametrize("form", [public, pure])
@pytest.mark.parametrize("card", [LEGACY, CURRENT, HYBRID], ids=["legacy", "current", "hybrid"])
def test_the_sdk_parses_a_rendered_card(card, form):
    read = parse_agent_card(form(card))

    assert [interface.url for interface in read.supported_interfaces] == [URL] * len(read.supported_interfaces)
    assert read.security_schemes["molecule"].http_auth_security_scheme.scheme.lower() == "bearer"
    assert list(read.security_requirements[0].schemes) == ["molecule"]


@pytest.mark.parametrize(
    ("version", "wants"), [("1.0", True), (" 1.1", True), ("0.3", False), ("", False), ("10", False)]
)
def test_the_version_header_identifies_clients_of_1_0(version, wants):
    assert agent_cards.accepts_current_only(version) is wants
