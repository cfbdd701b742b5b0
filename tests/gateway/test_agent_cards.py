import json

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3 import types
from hypothesis import given
from hypothesis import strategies as st

from gateway import agent_cards
from gateway.agent_cards import JSONRPC, REST
from gateway.json_format import encode_json
from molecule_a2a.cards import LEGACY_MEMBERS

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

SERVED = [
    {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
    {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
]
SERVED_TO_TENANT = [{**SERVED[0], "tenant": "t"}, SERVED[1]]

SCHEME = {"httpAuthSecurityScheme": {"scheme": "Bearer"}}

members = st.sampled_from(
    sorted(
        {
            *(*LEGACY, *CURRENT, "protocolBinding", "transport", "tenant", "extensions", "uri", "provider", "iconUrl"),
            *("documentationUrl", "documentation_url", "supported_interfaces", "additional_interfaces", "icon_url"),
            *("security_schemes", "protocol_version", "preferred_transport", "extended_agent_card", "vendor"),
        }
    )
)
texts = st.sampled_from(["", "JSONRPC", "GRPC", "1.0", "1", "0.3", "0.3.0", INSIDE, f"see {INSIDE}/x", "10.1.2.3:9000"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=3),
    max_leaves=8,
)
junk = st.dictionaries(members, json_values)


def public(card, *, bearer_needed=True, bindings=(JSONRPC,)):
    return agent_cards.render_hybrid_card(card, url=URL, bearer_needed=bearer_needed, bindings=bindings)


def pure(card, *, bearer_needed=True, bindings=(JSONRPC,)):
    return agent_cards.render_current_card(card, url=URL, bearer_needed=bearer_needed, bindings=bindings)


FORMS = [public, pure]
CARDS = pytest.mark.parametrize("card", [LEGACY, CURRENT, HYBRID], ids=["legacy", "current", "hybrid"])


@CARDS
@pytest.mark.parametrize("form", FORMS)
def test_a_rendered_card_has_none_of_the_agents_addresses_and_credentials(card, form):
    text = json.dumps(form(card))

    assert "10.1.2.3" not in text
    assert "own" not in text
    assert "signatures" not in text
    assert "GRPC" not in text


@given(junk)
def test_any_card_leads_to_the_plane_and_nowhere_else(card):
    for form in FORMS:
        shown = form(card)
        text = encode_json(shown)
        assert {interface["url"] for interface in shown["supportedInterfaces"]} == {URL}
        assert shown.get("url", URL) == URL
        assert b"http://10.1.2.3" not in text
        assert list(shown["securitySchemes"]) == ["molecule"]


@given(junk)
def test_a_card_rendered_twice_is_the_same(card):
    assert pure(pure(card)) == pure(card)
    assert public(public(card)) == public(card)


@given(junk)
def test_rendering_does_not_change_the_stored_card(card):
    before = json.dumps(card)
    public(card)

    assert json.dumps(card) == before


# Interfaces ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "card",
    [
        LEGACY,
        HYBRID,
        {"name": "n"},
        {"supportedInterfaces": []},
        {"supportedInterfaces": [{"url": INSIDE, "protocolBinding": "GRPC", "protocolVersion": "1.0"}]},
        {"supportedInterfaces": [{"url": INSIDE}]},
        {"supported_interfaces": [{"url": INSIDE, "protocol_version": "1.0"}]},
        {"url": INSIDE, "preferredTransport": "GRPC", "protocolVersion": "1.0"},
        {"url": 7, "additionalInterfaces": "none"},
    ],
)
def test_every_card_offers_both_versions_whatever_the_agent_speaks(form, card):
    assert form(card)["supportedInterfaces"] == SERVED


@CARDS
def test_clients_of_0_3_find_the_plane_in_every_card(card):
    shown = public(card)

    assert (shown["url"], shown["preferredTransport"], shown["protocolVersion"]) == (URL, "JSONRPC", "0.3.0")
    assert "additionalInterfaces" not in shown
    assert shown["supportsAuthenticatedExtendedCard"] is True
    assert shown["capabilities"] == {"streaming": True, "extendedAgentCard": True}


@pytest.mark.parametrize(
    ("interfaces", "tenants"),
    [
        ([{"tenant": "t", "protocolVersion": "1.0"}], ["t"]),
        ([{"tenant": "t"}], ["t"]),
        ([{"tenant": "t", "protocolVersion": "1"}, {"tenant": "t", "protocolVersion": "1.0.1"}], ["t"]),
        ([{"tenant": "t"}, {}, {"tenant": "u"}], ["t", None, "u"]),
        ([{"tenant": "t", "protocolVersion": "0.3"}], [None]),
        ([{"tenant": "t", "protocolVersion": "2.0"}], [None]),
        ([{"tenant": 7}], [None]),
        ([{"tenant": f"{INSIDE}/t"}], [None]),
        ([{"tenant": "t", "protocolBinding": "GRPC"}, {"tenant": "u"}], ["u"]),
        ([{"tenant": "t", "protocolBinding": "GRPC"}], ["t"]),
        ([{"tenant": str(number)} for number in range(20)], [str(number) for number in range(16)]),
    ],
)
def test_the_tenants_of_an_agent_stay_on_interfaces_of_1_0(interfaces, tenants):
    card = {"supportedInterfaces": [{"url": INSIDE, **interface} for interface in interfaces]}

    assert [(one["protocolVersion"], one.get("tenant")) for one in pure(card)["supportedInterfaces"]] == [
        *[("1.0", tenant) for tenant in tenants],
        ("0.3", None),
    ]


def test_further_bindings_come_after_json_rpc():
    shown = public(CURRENT, bindings=[JSONRPC, REST])

    rest = {"url": f"{URL}/rest", "protocolBinding": "HTTP+JSON"}
    assert shown["supportedInterfaces"] == [
        *SERVED_TO_TENANT,
        {**rest, "protocolVersion": "1.0"},
        {**rest, "protocolVersion": "0.3"},
    ]
    assert (shown["url"], shown["preferredTransport"]) == (URL, "JSONRPC")
    assert shown["additionalInterfaces"] == [{"url": f"{URL}/rest", "transport": "HTTP+JSON"}]
    read = parse_agent_card(shown)
    assert [one.url for one in read.supported_interfaces] == [URL, URL, f"{URL}/rest", f"{URL}/rest"]


# The form of 1.0 ─────────────────────────────────────────────────────────────


@given(junk)
def test_the_current_form_has_no_legacy_member(card):
    shown = pure({**card, "capabilities": {"stateTransitionHistory": True, "state_transition_history": True}})

    assert not set(shown) & LEGACY_MEMBERS
    assert not set(shown["capabilities"]) - {"extendedAgentCard"}
    assert shown["securitySchemes"] == {"molecule": SCHEME}
    assert not any("security" in skill for skill in shown["skills"])


@pytest.mark.parametrize(
    ("version", "wants"),
    [
        ("1.0", True),
        (" 1.1", True),
        ("1", True),
        ("1.0.0", True),
        ("0.3", False),
        ("", False),
        ("10", False),
        ("2.0", False),
        ("1.", False),
    ],
)
def test_the_version_header_identifies_clients_of_1_0(version, wants):
    assert agent_cards.accepts_current_only(version) is wants


# What the SDK reads ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("bindings", [[JSONRPC], [JSONRPC, REST]])
@pytest.mark.parametrize("form", FORMS)
@CARDS
def test_the_sdk_parses_a_rendered_card(card, form, bindings):
    read = parse_agent_card(form(card, bindings=bindings))

    assert [(one.protocol_binding, one.protocol_version) for one in read.supported_interfaces] == [
        (binding, version) for binding in bindings for version in ("1.0", "0.3")
    ]
    assert read.supported_interfaces[0].url == URL
    assert read.security_schemes["molecule"].http_auth_security_scheme.scheme.lower() == "bearer"
    assert list(read.security_requirements[0].schemes) == ["molecule"]


@CARDS
def test_the_sdk_of_0_3_reads_a_hybrid_card(card):
    read = types.AgentCard.model_validate(public(card))

    assert (read.url, read.preferred_transport, read.protocol_version) == (URL, "JSONRPC", "0.3.0")
    assert read.security == [{"molecule": []}]
    assert read.security_schemes["molecule"].root.scheme == "Bearer"


# Each decision ───────────────────────────────────────────────────────────────


def test_a_card_requires_a_bearer_if_the_plane_needs_one():
    assert public(HYBRID)["security"] == [{"molecule": []}]
    assert public(HYBRID)["securityRequirements"] == [{"schemes": {"molecule": {"list": []}}}]

    for form in FORMS:
        assert not {"security", "securityRequirements"} & set(form(HYBRID, bearer_needed=False))


def test_a_legacy_card_is_rendered_as_a_whole():
    assert public(LEGACY) == {
        "name": "n",
        "description": "d",
        "version": "1",
        "protocolVersion": "0.3.0",
        "url": URL,
        "preferredTransport": "JSONRPC",
        "supportedInterfaces": SERVED,
        "capabilities": {"streaming": True, "extendedAgentCard": True},
        "supportsAuthenticatedExtendedCard": True,
        "securitySchemes": {"molecule": {"type": "http", "scheme": "Bearer", **SCHEME}},
        "security": [{"molecule": []}],
        "securityRequirements": [{"schemes": {"molecule": {"list": []}}}],
        "skills": [{"id": "s", "name": "s", "description": "", "tags": []}],
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "x-vendor": {"kept": 1},
    }


def test_a_current_card_is_rendered_as_a_whole():
    assert pure(CURRENT) == {
        "name": "n",
        "supportedInterfaces": SERVED_TO_TENANT,
        "capabilities": {"streaming": True, "extendedAgentCard": True},
        "securitySchemes": {"molecule": SCHEME},
        "securityRequirements": [{"schemes": {"molecule": {"list": []}}}],
        "skills": [],
    }


@pytest.mark.parametrize(
    "name",
    [
        "additionalInterfaces",
        "additional_interfaces",
        "preferredTransport",
        "preferred_transport",
        "protocolVersion",
        "protocol_version",
        "security",
        "securityRequirements",
        "security_requirements",
        "securitySchemes",
        "security_schemes",
        "signatures",
        "supportedInterfaces",
        "supported_interfaces",
        "supportsAuthenticatedExtendedCard",
        "url",
    ],
)
def test_each_member_about_addresses_and_credentials_is_replaced(name):
    for form in FORMS:
        shown = form({name: "of the agent", "capabilities": {"extendedAgentCard": False}}, bearer_needed=False)
        assert "of the agent" not in shown.values()


def test_of_two_spellings_neither_shows_an_address():
    interfaces = [{"url": f"{INSIDE}/", "protocolVersion": "1.0", "tenant": "t"}]
    card = {"supportedInterfaces": interfaces, "supported_interfaces": interfaces, "iconUrl": None, "icon_url": INSIDE}

    assert pure(card, bearer_needed=False) == {
        "supportedInterfaces": SERVED_TO_TENANT,
        "securitySchemes": {"molecule": SCHEME},
        "capabilities": {},
        "skills": [],
    }


@pytest.mark.parametrize(
    ("members", "capabilities"),
    [
        ({}, {}),
        ({"capabilities": ["streaming"]}, {}),
        ({"capabilities": {"streaming": True}}, {"streaming": True}),
        ({"supportsAuthenticatedExtendedCard": True}, {"extendedAgentCard": True}),
        ({"supportsAuthenticatedExtendedCard": False}, {"extendedAgentCard": False}),
        ({"capabilities": {"extended_agent_card": True}}, {"extendedAgentCard": True}),
        (
            {"supportsAuthenticatedExtendedCard": True, "capabilities": {"extendedAgentCard": False}},
            {"extendedAgentCard": False},
        ),
    ],
)
def test_capabilities_are_those_that_the_agent_declares(members, capabilities):
    shown = public(members)

    assert shown["capabilities"] == capabilities
    assert shown.get("supportsAuthenticatedExtendedCard") == capabilities.get("extendedAgentCard")


def test_an_extension_keeps_its_name_on_the_host_of_its_agent():
    extensions = [
        {"uri": "https://agent.example/e/1", "required": True, "params": {"at": "https://agent.example/", "n": 1}},
        {"uri": "urn:e:2"},
        {"uri": f"{INSIDE}/e/3"},
        {"uri": 4},
        "https://e.example/5",
    ]
    card = {"url": "https://agent.example/a2a", "capabilities": {"extensions": extensions, "streaming": False}}

    assert pure(card)["capabilities"] == {
        "extensions": [
            {"uri": "https://agent.example/e/1", "required": True, "params": {"n": 1}},
            {"uri": "urn:e:2"},
        ],
        "streaming": False,
    }
    assert pure({"capabilities": {"extensions": {}}})["capabilities"] == {}


def test_skills_are_shown_without_the_security_of_the_agent():
    skills = [
        {"id": "s", "security": [], "securityRequirements": [], "tags": ["t"]},
        {"id": "q", "security_requirements": [], "examples": ["Read https://a.example", f"Read {INSIDE}/x", INSIDE]},
        "no skill",
        {"id": "r"},
    ]

    assert pure({"skills": skills})["skills"] == [
        {"id": "s", "tags": ["t"]},
        {"id": "q", "examples": ["Read https://a.example", "Read (inside address)"]},
        {"id": "r"},
    ]
    assert pure({"skills": {"id": "s"}})["skills"] == []


@pytest.mark.parametrize("spelling", ["{}Url", "{}_url"])
@pytest.mark.parametrize("kind", ["documentation", "icon"])
@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        ("https://docs.example/a.png", True),
        ("https://agent.example/a.png", False),
        (f"{INSIDE}/a.png", False),
        ("http://localhost:9000/a.png", False),
        ("http://ada/a.png", False),
        ("/a.png", False),
        (7, False),
        (None, False),
    ],
)
def test_addresses_of_pages_are_shown_if_clients_can_reach_them(spelling, kind, value, is_kept):
    card = {
        spelling.format(kind): value,
        "provider": {"organization": "o", "url": value},
        "url": "https://agent.example",
    }

    shown = pure(card)
    assert shown.get(f"{kind}Url") == (value if is_kept else None)
    assert shown["provider"] == ({"organization": "o", "url": value} if is_kept else {"organization": "o"})
    assert f"{kind}_url" not in shown
    assert public(card)["provider"] == {"organization": "o", "url": value if is_kept else ""}


def test_an_icon_may_be_part_of_the_card():
    card = {"iconUrl": "data:image/png;base64,AA//BB==", "documentationUrl": "data:image/png;base64,AA=="}

    assert pure(card)["iconUrl"] == card["iconUrl"]
    assert "documentationUrl" not in pure(card)


def test_unknown_members_stay_without_inside_addresses():
    card = {
        "url": f"{INSIDE}/",
        "x-vendor": {"n": 0.1, "at": INSIDE, "to": "10.1.2.3:9000", "see": "https://d.example"},
    }

    for form in FORMS:
        assert form(card)["x-vendor"] == {"n": 0.1, "see": "https://d.example"}
