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

    unprotected = public(HYBRID, bearer_needed=False)
    assert not {"security", "securityRequirements"} & set(unprotected)


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


# Each decision ───────────────────────────────────────────────────────────────


def test_a_legacy_card_is_rendered_as_a_whole():
    assert public(LEGACY) == {
        "name": "n",
        "description": "d",
        "version": "1",
        "protocolVersion": "0.3.0",
        "url": URL,
        "preferredTransport": "JSONRPC",
        "additionalInterfaces": [],
        "supportedInterfaces": [{"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}],
        "capabilities": {"streaming": True, "extendedAgentCard": True},
        "supportsAuthenticatedExtendedCard": True,
        "securitySchemes": {
            "molecule": {"type": "http", "scheme": "bearer", "httpAuthSecurityScheme": {"scheme": "Bearer"}}
        },
        "security": [{"molecule": []}],
        "securityRequirements": [{"schemes": {"molecule": {"list": []}}}],
        "skills": [{"id": "s", "name": "s"}],
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "x-vendor": {"kept": 1},
    }


def test_a_current_card_is_rendered_as_a_whole():
    assert (
        public(CURRENT)
        == pure(CURRENT)
        == {
            "name": "n",
            "supportedInterfaces": [
                {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"}
            ],
            "capabilities": {"streaming": True, "extendedAgentCard": True},
            "securitySchemes": {"molecule": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
            "securityRequirements": [{"schemes": {"molecule": {"list": []}}}],
            "skills": [],
        }
    )


@pytest.mark.parametrize(
    "name",
    [
        "additionalInterfaces",
        "preferredTransport",
        "protocolVersion",
        "security",
        "securityRequirements",
        "securitySchemes",
        "signatures",
        "supportedInterfaces",
        "supportsAuthenticatedExtendedCard",
        "url",
    ],
)
def test_each_member_about_addresses_and_credentials_is_replaced(name):
    shown = agent_cards.render_current_card({name: "of the agent"}, url=URL, bearer_needed=False)

    assert "of the agent" not in shown.values()


def interface(version="1.0", binding="JSONRPC", **members):
    return {"url": INSIDE, "protocolBinding": binding, "protocolVersion": version, **members}


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("1.0", "1.0"),
        ("1.0.0", "1.0"),
        ("1.2.3.4", "1.2"),
        ("1", "1"),
        ("0.3.0", "0.3"),
        ("0.2", "0.2"),
        ("", "0.3"),
        (None, "0.3"),
        (1.0, "0.3"),
    ],
)
def test_a_version_is_shown_with_its_first_two_numbers(declared, shown):
    assert versions(pure({"supportedInterfaces": [interface(declared)]})) == [shown]


@pytest.mark.parametrize(("version", "is_legacy"), [("1.0", False), ("1.9", False), ("0.3", True), ("10.0", True)])
def test_only_an_agent_without_a_legacy_version_has_no_legacy_members(version, is_legacy):
    card = {"supportedInterfaces": [interface("1.0"), interface(version)]}

    assert ("url" in public(card)) is is_legacy


def test_each_version_of_each_tenant_is_shown_once_in_the_order_of_the_agent():
    declared = [interface(), interface("0.3"), interface(tenant="t"), interface("1.0.1"), interface(tenant=7)]

    assert pure({"supportedInterfaces": declared})["supportedInterfaces"] == [
        {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
        {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"},
    ]


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({}, ["0.3"]),
        ({"url": ""}, ["0.3"]),
        ({"url": 7}, ["0.3"]),
        ({"url": INSIDE}, ["0.3"]),
        ({"url": INSIDE, "preferredTransport": ""}, ["0.3"]),
        ({"url": INSIDE, "preferredTransport": 7}, ["0.3"]),
        ({"url": INSIDE, "preferredTransport": "JSONRPC"}, ["0.3"]),
        ({"url": INSIDE, "preferredTransport": "GRPC"}, []),
        (
            {
                "url": INSIDE,
                "preferredTransport": "GRPC",
                "additionalInterfaces": [{"transport": "HTTP+JSON"}, {"transport": "JSONRPC"}],
            },
            ["0.3"],
        ),
        ({"url": INSIDE, "preferredTransport": "GRPC", "additionalInterfaces": [{}, "JSONRPC"]}, []),
        ({"additionalInterfaces": [{"transport": "JSONRPC"}], "supportedInterfaces": []}, []),
        ({"supportedInterfaces": []}, []),
        ({"supportedInterfaces": {}}, ["0.3"]),
        ({"supportedInterfaces": [], "url": INSIDE}, ["0.3"]),
        ({"supportedInterfaces": [interface()], "url": INSIDE}, ["1.0", "0.3"]),
        ({"supportedInterfaces": [interface()]}, ["1.0"]),
        ({"supportedInterfaces": [interface(), "JSONRPC", interface("1.1", binding="GRPC")]}, ["1.0"]),
    ],
)
def test_the_versions_are_those_that_the_agent_offers_over_json_rpc(members, shown):
    assert versions(pure(members)) == shown


@pytest.mark.parametrize(
    ("members", "capabilities"),
    [
        ({}, {}),
        ({"capabilities": ["streaming"]}, {}),
        ({"capabilities": {"streaming": True}}, {"streaming": True}),
        ({"supportsAuthenticatedExtendedCard": True}, {"extendedAgentCard": True}),
        ({"supportsAuthenticatedExtendedCard": "yes"}, {}),
        ({"supportsAuthenticatedExtendedCard": False}, {}),
        (
            {"supportsAuthenticatedExtendedCard": True, "capabilities": {"extendedAgentCard": False}},
            {"extendedAgentCard": False},
        ),
    ],
)
def test_an_extended_card_is_declared_in_the_form_of_both_versions(members, capabilities):
    shown = public(members)

    assert shown["capabilities"] == capabilities
    assert shown.get("supportsAuthenticatedExtendedCard") == (capabilities.get("extendedAgentCard") or None)


def test_skills_are_shown_without_the_security_of_the_agent():
    skills = [{"id": "s", "security": [], "securityRequirements": [], "tags": ["t"]}, "no skill", {"id": "r"}]

    assert pure({"skills": skills})["skills"] == [{"id": "s", "tags": ["t"]}, {"id": "r"}]
    assert pure({"skills": {"id": "s"}})["skills"] == []
