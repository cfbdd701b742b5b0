from copy import deepcopy

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.cards import build_hybrid_card, downgrade_card, upgrade_card
from molecule_a2a.errors import ConversionFailed
from tests.molecule_a2a.objects import junk, many, spoilt
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

SHARED = {
    "name": "n",
    "description": "d",
    "version": "1",
    "provider": {"organization": "o", "url": "https://o"},
    "iconUrl": "https://i",
    "documentationUrl": "https://d",
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
}

LEGACY = {
    **SHARED,
    "protocolVersion": "0.3.0",
    "url": "https://a/rpc",
    "preferredTransport": "JSONRPC",
    "additionalInterfaces": [{"url": "https://a/rest", "transport": "HTTP+JSON"}],
    "capabilities": {"streaming": True, "extensions": [{"uri": "https://e", "required": True}]},
    "supportsAuthenticatedExtendedCard": True,
    "securitySchemes": {"b": {"type": "http", "scheme": "bearer"}},
    "security": [{"b": []}],
    "skills": [{"id": "s", "name": "s", "description": "d", "tags": ["t"], "security": [{"b": ["x"]}]}],
}

CURRENT = {
    **SHARED,
    "supportedInterfaces": [
        {"url": "https://a/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
        {"url": "https://a/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"},
    ],
    "capabilities": {
        "streaming": True,
        "extensions": [{"uri": "https://e", "required": True}],
        "extendedAgentCard": True,
    },
    "securitySchemes": {"b": {"httpAuthSecurityScheme": {"scheme": "bearer"}}},
    "securityRequirements": [{"schemes": {"b": {"list": []}}}],
    "skills": [
        {
            "id": "s",
            "name": "s",
            "description": "d",
            "tags": ["t"],
            "securityRequirements": [{"schemes": {"b": {"list": ["x"]}}}],
        }
    ],
}

ONLY_CURRENT = {
    **CURRENT,
    "supportedInterfaces": [
        {"url": "https://a/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"},
        {"url": "https://a/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "t", "vendor": 1},
    ],
}

CONVERSIONS = [upgrade_card, downgrade_card, build_hybrid_card]


def test_a_card_has_one_form_in_each_dialect():
    assert upgrade_card(LEGACY) == CURRENT
    assert downgrade_card(CURRENT) == LEGACY
    assert upgrade_card(CURRENT) == CURRENT
    assert downgrade_card(LEGACY) == LEGACY


def test_the_sdk_reads_the_same_cards():
    core = conversions.to_core_agent_card(types.AgentCard.model_validate({**LEGACY, "protocolVersion": "0.3"}))
    assert read_current(a2a_pb2.AgentCard, upgrade_card(LEGACY)) == core
    compat = conversions.to_compat_agent_card(read_current(a2a_pb2.AgentCard, CURRENT))
    assert read_legacy(types.AgentCard, downgrade_card(CURRENT)) == {
        **dump_legacy(compat),
        "protocolVersion": "0.3.0",
    }


@pytest.mark.parametrize("card", [LEGACY, CURRENT], ids=["legacy", "current"])
def test_readers_of_both_dialects_read_the_hybrid_card(card):
    hybrid = build_hybrid_card(card)
    assert hybrid.items() >= {name: LEGACY[name] for name in LEGACY.keys() - CURRENT.keys()}.items()
    assert hybrid.items() >= {name: CURRENT[name] for name in CURRENT.keys() - LEGACY.keys()}.items()
    assert hybrid["capabilities"] == CURRENT["capabilities"]
    assert hybrid["securitySchemes"] == {"b": {**LEGACY["securitySchemes"]["b"], **CURRENT["securitySchemes"]["b"]}}
    assert hybrid["skills"] == [{**LEGACY["skills"][0], **CURRENT["skills"][0]}]
    assert parse_agent_card(deepcopy(hybrid)) == read_current(a2a_pb2.AgentCard, CURRENT)
    assert read_legacy(types.AgentCard, hybrid) == LEGACY
    assert upgrade_card(hybrid) == CURRENT
    assert downgrade_card(hybrid) == LEGACY
    assert build_hybrid_card(hybrid) == hybrid


def test_a_card_of_the_new_dialect_alone_is_no_hybrid():
    assert build_hybrid_card(ONLY_CURRENT) == ONLY_CURRENT


def test_a_card_of_both_versions_offers_the_old_one_to_old_readers():
    card = {**CURRENT, "supportedInterfaces": ONLY_CURRENT["supportedInterfaces"] + CURRENT["supportedInterfaces"]}
    assert downgrade_card(card) == LEGACY
    assert build_hybrid_card(card)["supportedInterfaces"] == card["supportedInterfaces"]
    assert build_hybrid_card(card)["url"] == "https://a/rpc"


def test_a_card_without_an_old_interface_offers_all_of_them_to_old_readers():
    downgraded = downgrade_card(ONLY_CURRENT)
    assert downgraded["url"] == "https://a/rpc"
    assert downgraded["preferredTransport"] == "JSONRPC"
    assert downgraded["protocolVersion"] == "0.3.0"
    assert downgraded["additionalInterfaces"] == [{"url": "https://a/grpc", "transport": "GRPC", "vendor": 1}]


def test_the_version_at_the_top_of_a_card_is_honoured():
    upgraded = upgrade_card({**LEGACY, "protocolVersion": "1.0"})
    assert [one["protocolVersion"] for one in upgraded["supportedInterfaces"]] == ["1.0", "1.0"]
    assert downgrade_card({**LEGACY, "protocolVersion": "0.2.6"})["protocolVersion"] == "0.2.0"


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_signatures_never_pass_and_other_members_do(convert):
    for card in (LEGACY, CURRENT, ONLY_CURRENT):
        converted = convert({**card, "signatures": [{"protected": "p", "signature": "s"}], "vendor": {"kept": 1}})
        assert "signatures" not in converted
        assert converted["vendor"] == {"kept": 1}
        assert converted["name"] == "n"


def test_the_new_dialect_has_no_history_of_states():
    card = {**LEGACY, "capabilities": {"stateTransitionHistory": True, "pushNotifications": False}}
    assert upgrade_card(card)["capabilities"] == {"pushNotifications": False, "extendedAgentCard": True}


@pytest.mark.parametrize(
    ("top", "capabilities", "upgraded"),
    [
        (None, {}, {}),
        (False, {}, {"extendedAgentCard": False}),
        (True, None, {"extendedAgentCard": True}),
        (True, {"extendedAgentCard": False}, {"extendedAgentCard": False}),
        (None, {"extended_agent_card": True, "push_notifications": True}, None),
    ],
)
def test_the_extended_card_is_a_capability(top, capabilities, upgraded):
    if upgraded is None:
        upgraded = {"extendedAgentCard": True, "pushNotifications": True}
    card = {"supportsAuthenticatedExtendedCard": top, "capabilities": capabilities}
    assert upgrade_card(card) == {"supportedInterfaces": [], "capabilities": upgraded}


def test_requirements_of_the_new_dialect_come_before_those_of_the_old():
    requirements = [{"schemes": {"c": {"list": []}}}]
    card = {"security": [{"b": []}], "securityRequirements": requirements}
    assert upgrade_card(card)["securityRequirements"] == requirements
    assert upgrade_card({**card, "securityRequirements": None})["securityRequirements"] == [
        {"schemes": {"b": {"list": []}}}
    ]
    skill = upgrade_card({"skills": [card]})["skills"][0]
    assert skill == {"securityRequirements": requirements}
    assert "securityRequirements" not in upgrade_card({"security": None})


def test_members_that_are_null_are_absent():
    card = {"securityRequirements": None, "skills": [{"securityRequirements": None}]}
    downgraded = downgrade_card({**card, "capabilities": {"extendedAgentCard": None}})
    assert "supportsAuthenticatedExtendedCard" not in downgraded
    assert "security" not in downgraded
    assert "security" not in downgraded["skills"][0]


def test_what_proto_json_leaves_out_is_filled_for_the_old_dialect():
    card = {
        "provider": {},
        "capabilities": {"extensions": [{"required": True}, 5]},
        "skills": [{}, 5],
        "supportedInterfaces": [{"url": "https://a"}],
    }
    downgraded = downgrade_card(card)
    assert downgraded == {
        "name": "",
        "description": "",
        "version": "",
        "url": "https://a",
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "provider": {"organization": "", "url": ""},
        "capabilities": {"extensions": [{"required": True, "uri": ""}, 5]},
        "defaultInputModes": [],
        "defaultOutputModes": [],
        "skills": [{"id": "", "name": "", "description": "", "tags": []}, 5],
    }
    downgraded["skills"].pop()
    downgraded["capabilities"]["extensions"].pop()
    types.AgentCard.model_validate(downgraded)
    types.AgentCard.model_validate(downgrade_card({}))
    assert downgrade_card({})["url"] == ""


def test_of_two_spellings_camel_case_counts():
    card = {"iconUrl": "https://i", "icon_url": "https://j", "capabilities": {"pushNotifications": True}}
    card["capabilities"]["push_notifications"] = False
    card["skills"] = [{"inputModes": ["a"], "input_modes": ["b"]}]
    assert upgrade_card(card) == {
        "supportedInterfaces": [],
        "iconUrl": "https://i",
        "capabilities": {"pushNotifications": True},
        "skills": [{"inputModes": ["a"]}],
    }


def test_snake_case_is_read_in_cards_of_the_old_dialect():
    card = {
        "url": "https://a",
        "protocol_version": "0.2.6",
        "preferred_transport": "GRPC",
        "additional_interfaces": [{"url": "https://b", "transport": "JSONRPC"}],
        "supports_authenticated_extended_card": True,
        "capabilities": {"state_transition_history": True},
    }
    assert upgrade_card(card) == {
        "supportedInterfaces": [
            {"url": "https://a", "protocolBinding": "GRPC", "protocolVersion": "0.2"},
            {"url": "https://b", "protocolBinding": "JSONRPC", "protocolVersion": "0.2"},
        ],
        "capabilities": {"extendedAgentCard": True},
    }


def test_snake_case_is_read():
    card = {
        "supported_interfaces": [{"url": "https://a", "protocol_binding": "GRPC", "protocol_version": "1.0"}],
        "security_schemes": {"b": {"http_auth_security_scheme": {"scheme": "bearer"}}},
        "security_requirements": [{"schemes": {"b": {}}}],
        "documentation_url": "https://d",
        "icon_url": "https://i",
        "default_input_modes": ["a"],
        "default_output_modes": ["b"],
        "skills": [{"input_modes": ["a"], "output_modes": ["b"], "security_requirements": []}],
    }
    assert upgrade_card(card) == {
        "supportedInterfaces": [{"url": "https://a", "protocolBinding": "GRPC", "protocolVersion": "1.0"}],
        "capabilities": {},
        "securitySchemes": {"b": {"httpAuthSecurityScheme": {"scheme": "bearer"}}},
        "securityRequirements": [{"schemes": {"b": {}}}],
        "documentationUrl": "https://d",
        "iconUrl": "https://i",
        "defaultInputModes": ["a"],
        "defaultOutputModes": ["b"],
        "skills": [{"inputModes": ["a"], "outputModes": ["b"], "securityRequirements": []}],
    }


def test_a_hybrid_card_has_no_scheme_that_old_readers_refuse():
    schemes = {"b": {"mtlsSecurityScheme": {}}, "v": {"vendorSecurityScheme": {}}, "x": 5}
    assert build_hybrid_card({**CURRENT, "securitySchemes": schemes})["securitySchemes"] == {
        "b": {"mtlsSecurityScheme": {}, "type": "mutualTLS"}
    }
    assert "securitySchemes" not in build_hybrid_card({"url": "https://a"})


@pytest.mark.parametrize("card", [None, [], "x", 5])
@pytest.mark.parametrize("convert", CONVERSIONS)
def test_a_card_is_an_object(card, convert):
    with pytest.raises(ConversionFailed) as found:
        convert(card)
    assert found.value.code == -32006
    assert found.value.text == "the agent card is not a JSON object"


@many
@given(spoilt(LEGACY, CURRENT, ONLY_CURRENT, build_hybrid_card(CURRENT)) | junk)
def test_any_card_is_converted_once_or_refused(card):
    before = deepcopy(card)
    for convert in CONVERSIONS:
        try:
            converted = convert(card)
        except ConversionFailed:
            assert not isinstance(card, dict)
        else:
            assert convert(converted) == converted
    assert card == before
