import asyncio
import json
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.errors import MalformedRequest, RequestTooLarge
from gateway.ids import parse_workspace_id
from gateway.json_format import encode_json
from gateway.limits import MAX_CARD_BYTES
from gateway.request_body import (
    MAX_DESCRIBED_FAULTS,
    BodyFault,
    BodySpec,
    encode_agent_card,
    encode_payload,
    parse_json,
    read_body,
    refuse_with_detail,
    refuse_with_text,
)
from gateway.schemas.agents import Heartbeat, Registration
from gateway.schemas.workspaces import NewWorkspace, RestartOptions, WorkspaceChanges
from services.chassis.errors import ServiceError
from tests.skipping_loop import run_skipping

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


def test_deep_nesting_is_refused_as_such():
    with pytest.raises(ValueError, match=r"^more than 100 levels$"):
        parse_json(b"[" * 101 + b"]" * 101)


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


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("1e999", "a number out of range"),
        ("9" * 4301, "a number out of range"),
        ("[" * 960 + "]" * 960, "more than 100 levels"),
        ("[" + "1," * 100_000 + "1]", "more than 100000 values"),
        ('"\\u0000"', "NUL cannot be stored"),
        ("NaN", "not valid JSON"),
    ],
)
def test_the_refusal_of_a_body_names_the_limit(value, detail):
    with pytest.raises(MalformedRequest) as refused:
        BodySpec(model=Registration, fault_to_error=refuse_with_detail).parse(
            b'{"id":"w","agent_card":{"a":' + value.encode() + b"}}"
        )
    assert refused.value.details == {"reason": "invalid_body", "detail": detail}


@pytest.mark.covers("TXT-03")
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_a_card_keeps_each_number_as_it_was_sent(number):
    spec = BodySpec(model=Registration)

    body = spec.parse(b'{"id":"w","agent_card":{"a":[' + number.encode() + b"]}}")

    kept = encode_agent_card(body.agent_card)
    assert Decimal(kept.removeprefix(b'{"a":[').removesuffix(b"]}").decode()) == Decimal(number)


# Reading ─────────────────────────────────────────────────────────────────────


def incoming(*chunks, content_length=None, chunk_seconds=0.0, sent=None):
    """A request whose body arrives in chunks, one every `chunk_seconds`; `sent` collects the ones that were read."""
    headers = [] if content_length is None else [(b"content-length", content_length.encode("latin-1"))]
    waiting = list(chunks)

    async def receive():
        await asyncio.sleep(chunk_seconds)
        chunk = waiting.pop(0) if waiting else b""
        if sent is not None:
            sent.append(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


def test_limits_are_those_of_the_contract():
    assert BodySpec(model=Heartbeat).max_bytes == 1_048_576
    assert MAX_CARD_BYTES == 262_144


@pytest.mark.parametrize("content_length", [None, "8", "", "x", "-1", "\u00b2"])
@pytest.mark.parametrize("chunks", [(b"12345678",), (b"1234", b"", b"5678")])
async def test_a_body_at_its_limit_is_read(chunks, content_length):
    assert await read_body(incoming(*chunks, content_length=content_length), 8) == b"12345678"


async def test_a_body_of_which_more_is_announced_than_the_limit_is_refused_unread():
    sent = []
    with pytest.raises(RequestTooLarge) as refused:
        await read_body(incoming(b"1", content_length="9", sent=sent), 8)

    assert (refused.value.message, refused.value.details) == ("request body too large", {"max_bytes": 8})
    assert sent == []


async def test_a_body_is_refused_with_the_chunk_that_exceeds_the_limit():
    sent = []
    with pytest.raises(RequestTooLarge) as refused:
        await read_body(incoming(b"1234", b"56789", b"0", sent=sent), 8)

    assert refused.value.details == {"max_bytes": 8}
    assert sent == [b"1234", b"56789"]


@pytest.mark.parametrize(("chunk_seconds", "is_read"), [(14.9, True), (15.1, False)])
def test_a_body_has_to_arrive_within_30_seconds(chunk_seconds, is_read):
    reading = read_body(incoming(b"12", b"34", chunk_seconds=chunk_seconds), 8)
    if is_read:
        assert run_skipping(reading) == b"1234"
    else:
        with pytest.raises(MalformedRequest, match=r"^invalid request body$"):
            run_skipping(reading)


async def test_an_absent_body_is_the_default_where_none_is_required():
    assert await BodySpec(model=RestartOptions, required=False).read(incoming()) == RestartOptions()
    with pytest.raises(MalformedRequest):
        await BodySpec(model=RestartOptions).read(incoming())
    with pytest.raises(MalformedRequest):
        await BodySpec(model=RestartOptions, required=False).read(incoming(b" "))


async def test_a_present_body_is_parsed_where_none_is_required():
    body = BodySpec(model=WorkspaceChanges, required=False)

    assert (await body.read(incoming(b'{"name":"ada"}'))).name == "ada"


async def test_a_route_may_have_a_text_of_its_own_for_large_bodies():
    with pytest.raises(RequestTooLarge) as refused:
        await BodySpec(model=Heartbeat, max_bytes=3, too_large_text="too much").read(incoming(b"1234"))
    assert (refused.value.message, refused.value.details) == ("too much", {})

    with pytest.raises(RequestTooLarge) as refused:
        await BodySpec(model=Heartbeat, max_bytes=3).read(incoming(b"1234"))
    assert (refused.value.message, refused.value.details) == ("request body too large", {"max_bytes": 3})


# Faults ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (BodyFault(), "not valid JSON"),
        (BodyFault(detail="is odd"), "is odd"),
        (BodyFault(field="a.0", detail="is odd"), "a.0: is odd"),
        (BodyFault(detail="x" * 200), "x" * 200),
        (BodyFault(detail="x" * 201), "x" * 200),
    ],
)
def test_the_detail_of_a_fault_has_at_most_200_characters(fault, detail):
    error = refuse_with_detail(fault)

    assert (error.message, error.details) == ("invalid request body", {"reason": "invalid_body", "detail": detail})


@pytest.mark.covers("EDGE-41")
@pytest.mark.parametrize(
    ("faults", "detail"),
    [
        (MAX_DESCRIBED_FAULTS, "runtime_metadata.capabilities.0: Input should be a valid boolean"),
        (MAX_DESCRIBED_FAULTS + 1, "more than 100 faults"),
    ],
)
def test_a_body_with_very_many_faults_is_refused_without_a_description_of_each(faults, detail):
    body = {
        "workspace_id": str(uuid.uuid4()),
        "runtime_metadata": {"capabilities": {str(number): 1 for number in range(faults)}},
    }
    with pytest.raises(MalformedRequest) as refused:
        BodySpec(model=Heartbeat, fault_to_error=refuse_with_detail).parse(json.dumps(body).encode())

    assert refused.value.details["detail"] == detail


def test_the_first_fault_has_its_place_text_and_kind():
    faults = []

    def collect(fault):
        faults.append(fault)
        return MalformedRequest("collected")

    body = BodySpec(model=Heartbeat, fault_to_error=collect)
    raws = [b"{", b'{"workspace_id":"w","runtime_metadata":{"capabilities":{"scheduler":"yes"}},"error_rate":"1"}']
    for raw in raws:
        with pytest.raises(MalformedRequest, match="collected"):
            body.parse(raw)

    assert faults[0] == BodyFault()
    assert (faults[1].field, faults[1].kind) == ("error_rate", "float_type")
    assert faults[1].detail == "Input should be a valid number"


def test_a_fault_deep_in_a_body_is_named_by_its_path():
    with pytest.raises(MalformedRequest) as refused:
        heartbeat(runtime_metadata={"capabilities": {"scheduler": "yes"}})

    assert refused.value.details["detail"].startswith("runtime_metadata.capabilities.scheduler: ")


def test_a_route_may_have_one_text_for_every_fault():
    for raw in (b"{", b"{}"):
        with pytest.raises(MalformedRequest) as refused:
            BodySpec(model=Heartbeat, fault_to_error=refuse_with_text("is odd")).parse(raw)
        assert (refused.value.message, refused.value.details) == ("is odd", {})


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\\\\\\\u0000"', "\\\\u0000"),
        (b'"u0000 \\u0001"', "u0000 \x01"),
    ],
)
def test_text_that_looks_like_a_nul_is_kept(raw, value):
    assert parse_json(raw) == value


@pytest.mark.parametrize("raw", [b'"\\\\\\u0000"', b'{"\\u0000":1}', b'["a\\u0000"]'])
def test_a_nul_is_found_everywhere(raw):
    with pytest.raises(ValueError, match=r"^NUL cannot be stored$"):
        parse_json(raw)


def test_a_payload_is_encoded_as_compact_json():
    assert encode_payload({"a": [1, 2.5, None], "b": "é"}) == '{"a":[1,2.5,null],"b":"é"}'.encode()


def test_a_payload_that_is_nested_too_deeply_is_refused_with_the_text_of_the_route():
    deep = []
    for _ in range(50_000):
        deep = [deep]

    with pytest.raises(MalformedRequest, match="invalid request body"):
        encode_payload(deep)
    with pytest.raises(MalformedRequest, match="is odd"):
        encode_payload(deep, refuse_with_text("is odd"))
