import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedRequest, RequestTooLarge
from gateway.ids import parse_workspace_id
from gateway.json_format import encode_json
from gateway.limits import MAX_CARD_BYTES
from gateway.request_body import BodySpec, encode_agent_card, parse_json, refuse_with_detail
from gateway.schemas.agents import Heartbeat, Registration
from gateway.schemas.workspaces import NewWorkspace, WorkspaceChanges
from services.chassis.errors import ServiceError

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=20,
)


@given(values)
def test_json_is_parsed_unchanged(value):
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(encode_json(value)) == value


@given(st.binary())
def test_bytes_are_json_or_refused(raw):
    try:
        encode_json(parse_json(raw))
    except ValueError:
        return


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"nothing",
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'"\\ud800"',
        b'{"a":"\\u0000"}',
        b'"\x00"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_json_that_cannot_be_stored_is_refused(raw):
    with pytest.raises(ValueError):  # noqa: PT011 - in whatever words
        parse_json(raw)


def test_an_escaped_backslash_before_u0000_is_no_nul():
    assert parse_json(b'"\\\\u0000 \\u00e9"') == "\\u0000 é"


@given(st.uuids())
def test_ids_are_parsed_in_lower_case(value: uuid.UUID):
    assert parse_workspace_id(str(value).upper()) == str(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "11111111-1111-4111-8111-11111111111",
        "11111111-1111-4111-8111-1111111111111",
        "111111111111411181111111111111111111",
        "{1111111-1111-4111-8111-11111111111}",
        "1111111--1111-4111-8111-111111111111",
        "gggggggg-1111-4111-8111-111111111111",
        "urn:uuid:11111111111141118111111111",
        "1" * 10_000,
    ],
)
def test_any_other_text_is_no_id(text):
    with pytest.raises(MalformedRequest, match="invalid workspace ID"):
        parse_workspace_id(text)


def heartbeat(**fields):
    raw = encode_json({"workspace_id": "w", **fields})
    return BodySpec(model=Heartbeat, fault_to_error=refuse_with_detail).parse(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workspace_id", ""),
        ("workspace_id", None),
        ("workspace_id", 7),
        ("active_tasks", 1.5),
        ("active_tasks", "1"),
        ("active_tasks", True),
        ("error_rate", "0.5"),
        ("error_rate", True),
        ("sample_error", 1),
        ("runtime_metadata", []),
        ("runtime_metadata", {"capabilities": {"scheduler": "yes"}}),
        ("runtime_metadata", {"idle_timeout_seconds": "7"}),
        ("agent_card", "card"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_with_its_name(field, value):
    with pytest.raises(MalformedRequest) as refused:
        heartbeat(**{field: value})

    assert refused.value.message == "invalid request body"
    assert refused.value.details["reason"] == "invalid_body"
    assert refused.value.details["detail"].startswith(field)


def test_unknown_fields_are_ignored():
    assert heartbeat(unknown={"deep": [1]}) == heartbeat()


def test_whole_numbers_are_numbers():
    assert heartbeat(error_rate=1).error_rate == 1.0


def test_numbers_out_of_range_are_clamped():
    beat = heartbeat(active_tasks=10**30, uptime_seconds=10**30)

    assert (beat.active_tasks, beat.uptime_seconds) == (2**31 - 1, 2**63 - 1)


def test_a_number_too_large_for_a_float_is_refused():
    with pytest.raises(MalformedRequest):
        heartbeat(error_rate=10**400)


def test_an_unknown_delivery_mode_is_refused_with_its_own_text():
    body = BodySpec(model=Registration, fault_to_error=refuse_with_detail)
    with pytest.raises(MalformedRequest) as refused:
        body.parse(encode_json({"id": "w", "agent_card": {}, "delivery_mode": "carrier-pigeon"}))

    assert (refused.value.message, refused.value.details) == ("invalid delivery_mode", {})


SHAPES = (NewWorkspace, WorkspaceChanges, Heartbeat, Registration)
fields = st.sampled_from(sorted({name for shape in SHAPES for name in shape.model_fields}))


@given(st.dictionaries(fields, values, max_size=4))
def test_a_body_becomes_its_model_or_is_refused(value):
    for shape in SHAPES:
        try:
            BodySpec(model=shape).parse(encode_json(value))
        except ServiceError:
            continue


def test_a_card_at_its_limit_passes_and_a_larger_one_is_refused():
    frame = len(encode_json({"a": ""}))
    assert len(encode_agent_card({"a": "x" * (MAX_CARD_BYTES - frame)})) == MAX_CARD_BYTES

    with pytest.raises(RequestTooLarge) as refused:
        encode_agent_card({"a": "x" * (MAX_CARD_BYTES - frame + 1)})
    assert (refused.value.message, refused.value.details) == ("agent_card too large", {"max_bytes": MAX_CARD_BYTES})


def test_a_card_with_an_infinite_number_is_refused():
    with pytest.raises(MalformedRequest, match="invalid request body"):
        encode_agent_card(parse_json(b'{"a":1e999}'))
