import json
from copy import deepcopy

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.types import a2a_pb2
from a2a.utils._jcs import canonicalize as canonicalize_as_the_sdk
from google.protobuf.json_format import MessageToDict
from hypothesis import given

from molecule_a2a.canonical_json import canonicalize
from molecule_a2a.card_signatures import (
    KNOWN_MEMBERS,
    build_protected_header,
    build_signing_input,
    decode_base64url,
    encode_base64url,
    list_payloads,
    list_served_payloads,
    read_signatures,
)
from molecule_a2a.cards import build_hybrid_card
from tests.molecule_a2a.objects import junk, many
from tests.molecule_a2a.test_cards import CURRENT, LEGACY, SHARED

HEADER = build_protected_header(algorithm="ES256", key_id="k")


def signed(*signatures, **card):
    return {**card, "signatures": list(signatures)}


def drop_empty(value):
    """Leave out what the SDK leaves out before it signs."""
    if isinstance(value, dict):
        kept = {name: drop_empty(member) for name, member in value.items()}
        return {name: member for name, member in kept.items() if member is not None} or None
    if isinstance(value, list):
        return [kept for item in value if (kept := drop_empty(item)) is not None] or None
    return None if value == "" else value


def test_a_signature_is_read():
    (found,) = read_signatures(signed({"protected": HEADER, "signature": "AQI", "header": {"x": 1}}))

    assert (found.algorithm, found.key_id, found.signature, found.protected) == ("ES256", "k", b"\1\2", HEADER)
    assert json.loads(decode_base64url(HEADER)) == {"alg": "ES256", "kid": "k", "typ": "JOSE"}


@pytest.mark.parametrize(
    "declared",
    [
        None,
        7,
        {},
        {"protected": HEADER, "signature": "A"},
        {"protected": HEADER, "signature": "AQI="},
        {"protected": HEADER, "signature": "A+/8"},
        {"protected": HEADER, "signature": "é"},
        {"protected": "AQI", "signature": "AQI"},
        {"protected": encode_base64url(b"[1]"), "signature": "AQI"},
        {"protected": encode_base64url(b"[" * 3000), "signature": "AQI"},
        {"protected": encode_base64url(b'{"alg":"ES256","crit":["b64"],"b64":false}'), "signature": "AQI"},
        {"protected": HEADER, "signature": "A" * 5000},
        {"protected": encode_base64url(b" " * 5000 + b"{}"), "signature": "AQI"},
    ],
)
def test_what_cannot_be_understood_is_no_signature(declared):
    assert read_signatures(signed(declared)) == []


def test_few_signatures_are_read():
    assert len(read_signatures(signed(*[{"protected": HEADER, "signature": "AQI"}] * 20))) == 8


@given(junk)
def test_any_card_can_be_asked_for_its_signatures(card):
    if isinstance(card, dict):
        read_signatures(card)
        assert list_payloads(card)


def test_a_signing_input_is_the_header_and_the_payload():
    assert build_signing_input("aGVhZGVy", b"{}") == b"aGVhZGVy.e30"


@pytest.mark.parametrize("content", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64url_there_and_back(content):
    assert decode_base64url(encode_base64url(content)) == content


def test_a_signature_may_cover_the_card_as_it_is_or_without_empty_members():
    card = {"name": "n", "provider": {"url": ""}, "skills": [], "n": 0, "f": False, "x": None}

    payloads = list_payloads(signed({}, **card))
    assert canonicalize(card) in payloads
    assert canonicalize({"name": "n", "n": 0, "f": False}) in payloads


@many
@given(junk)
def test_the_payloads_do_not_depend_on_the_signatures(card):
    if isinstance(card, dict):
        assert list_payloads({**card, "signatures": [1]}) == list_payloads({**card, "signatures": []})


@pytest.mark.parametrize(
    "card", [LEGACY, CURRENT, SHARED, {}], ids=["legacy", "current", "without interfaces", "empty"]
)
@pytest.mark.parametrize("list_them", [list_payloads, list_served_payloads])
def test_what_the_sdk_covers_is_one_of_the_payloads(card, list_them):
    hybrid = build_hybrid_card(card)
    covered = drop_empty(MessageToDict(parse_agent_card(deepcopy(hybrid)))) or {}

    assert canonicalize_as_the_sdk(covered).encode() in list_them(hybrid)


def test_members_that_the_sdk_does_not_know_are_covered_too():
    served = {**CURRENT, "vendor": 1}

    assert list_served_payloads(served) == [canonicalize(served), *list_served_payloads(CURRENT)[1:]]


def test_the_members_are_those_of_the_sdk():
    assert {field.json_name for field in a2a_pb2.AgentCard.DESCRIPTOR.fields} - {"signatures"} == KNOWN_MEMBERS
