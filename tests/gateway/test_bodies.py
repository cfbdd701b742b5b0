import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import bodies
from gateway.bodies import Body, in_detail, parsed, workspace_id
from gateway.errors import Malformed, TooLarge
from gateway.limits import CARD_CAP
from gateway.render.texts import compact
from gateway.shapes.agents import Heartbeat, Registration
from gateway.shapes.workspaces import Changes, NewWorkspace
from services.chassis.errors import ServiceError

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=20,
)


@given(values)
def test_what_is_json_comes_through_as_it_is(value):
    assert parsed(json.dumps(value).encode()) == value
    assert parsed(compact(value)) == value


@given(st.binary())
def test_bytes_are_json_or_refused(raw):
    try:
        compact(parsed(raw))
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
def test_what_cannot_be_carried_as_json_is_refused(raw):
    with pytest.raises(ValueError):  # noqa: PT011 - in whatever words
        parsed(raw)


def test_an_escaped_backslash_before_u0000_is_no_nul():
    assert parsed(b'"\\\\u0000 \\u00e9"') == "\\u0000 é"


@given(st.uuids())
def test_ids_are_kept_in_lower_case(value: uuid.UUID):
    assert workspace_id(str(value).upper()) == str(value)


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
def test_what_is_no_uuid_is_no_id(text):
    with pytest.raises(Malformed, match="invalid workspace ID"):
        workspace_id(text)


def heartbeat(**fields):
    raw = compact({"workspace_id": "w", **fields})
    return Body(shape=Heartbeat, refusal=in_detail).checked(raw)


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
    with pytest.raises(Malformed) as refused:
        heartbeat(**{field: value})

    assert refused.value.message == "invalid request body"
    assert refused.value.details["reason"] == "invalid_body"
    assert refused.value.details["detail"].startswith(field)


def test_unknown_fields_are_ignored():
    assert heartbeat(unknown={"deep": [1]}) == heartbeat()


def test_whole_numbers_are_numbers():
    assert heartbeat(error_rate=1).error_rate == 1.0


def test_numbers_too_large_to_be_carried_are_as_good_as_the_largest():
    beat = heartbeat(active_tasks=10**30, uptime_seconds=10**30)

    assert (beat.active_tasks, beat.uptime_seconds) == (2**31 - 1, 2**63 - 1)


def test_a_number_too_large_for_a_fraction_is_refused():
    with pytest.raises(Malformed):
        heartbeat(error_rate=10**400)


def test_an_unknown_delivery_mode_is_refused_in_its_own_words():
    body = Body(shape=Registration, refusal=in_detail)
    with pytest.raises(Malformed) as refused:
        body.checked(compact({"id": "w", "agent_card": {}, "delivery_mode": "carrier-pigeon"}))

    assert (refused.value.message, refused.value.details) == ("invalid delivery_mode", {})


SHAPES = (NewWorkspace, Changes, Heartbeat, Registration)
fields = st.sampled_from(sorted({name for shape in SHAPES for name in shape.model_fields}))


@given(st.dictionaries(fields, values, max_size=4))
def test_a_body_becomes_its_shape_or_is_refused(value):
    for shape in SHAPES:
        try:
            Body(shape=shape).checked(compact(value))
        except ServiceError:
            continue


def test_a_card_at_its_cap_passes_and_one_over_it_does_not():
    frame = len(compact({"a": ""}))
    assert len(bodies.card({"a": "x" * (CARD_CAP - frame)})) == CARD_CAP

    with pytest.raises(TooLarge) as refused:
        bodies.card({"a": "x" * (CARD_CAP - frame + 1)})
    assert (refused.value.message, refused.value.details) == ("agent_card too large", {"max_bytes": CARD_CAP})


def test_a_card_with_a_number_beyond_all_numbers_is_refused():
    with pytest.raises(Malformed, match="invalid request body"):
        bodies.card(parsed(b'{"a":1e999}'))
