from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3 import types as v03
from a2a.server.request_handlers.response_helpers import agent_card_to_dict

from molecule_agent.adapter import CardFacts, Skill
from molecule_agent.card import build_card

URL = "http://127.0.0.1:9000/"
FACTS = CardFacts(
    name="lead", description="Counts.", skills=[Skill(id="c", name="Count", description="1, 2", tags=["n"])]
)


def test_clients_of_a2a_1_0_find_both_versions_at_the_url():
    parsed = parse_agent_card(build_card(FACTS, url=URL))

    assert [(i.url, i.protocol_binding, i.protocol_version) for i in parsed.supported_interfaces] == [
        (URL, "JSONRPC", "1.0"),
        (URL, "JSONRPC", "0.3"),
    ]
    assert parsed.capabilities.streaming
    assert parsed.skills[0].name == "Count"


def test_clients_of_a2a_0_3_find_their_version_at_the_url():
    parsed = v03.AgentCard.model_validate(build_card(FACTS, url=URL))

    assert (parsed.url, parsed.protocol_version, parsed.preferred_transport) == (URL, "0.3.0", "JSONRPC")
    assert parsed.capabilities.streaming


def test_the_card_has_every_member_that_the_sdk_writes():
    ours = build_card(FACTS, url=URL)
    theirs = agent_card_to_dict(parse_agent_card(build_card(FACTS, url=URL)))

    assert set(theirs) - set(ours) == set()
    assert theirs["supportedInterfaces"] == ours["supportedInterfaces"]


def test_a_configured_name_replaces_the_adapters_name():
    assert build_card(FACTS, url=URL, name="writer")["name"] == "writer"
