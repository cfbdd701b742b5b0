import json
import math
from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import strict_json
from services.chassis.strict_json import MAX_JSON_DEPTH, MAX_JSON_VALUES, InvalidJson, JsonLimitExceeded

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
fragments = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"',
            '"a"',
            "\\",
            '"\\"',
            "\\u0041",
            "1",
            "-0",
            "1e400",
            "0.10",
            "NaN",
            "null",
            " ",
        ]
    ),
    max_size=12,
).map("".join)


def _refuse(name: str):
    raise ValueError(name)


def is_python_json(text: str) -> bool:
    """Whether the parser of the standard library takes the text, without its own extensions of JSON."""
    try:
        json.dumps(json.loads(text, parse_constant=_refuse), allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def exact(text: bytes):
    """The value of a text with every number as the decimal that it is."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@pytest.mark.covers("TXT-01")
@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_every_value_comes_back_identical(value, ascii_only, indent):
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()

    read = strict_json.parse(raw)

    assert read == value
    assert exact(strict_json.dump(read)) == exact(raw)


@pytest.mark.covers("TXT-01")
@given(numbers)
def test_a_number_is_written_exactly_as_it_was_or_refused_as_out_of_range(text):
    try:
        read = strict_json.parse(text.encode())
    except JsonLimitExceeded:
        assert math.isinf(float(text)) or len(text) > strict_json.MAX_NUMBER_DIGITS
        return
    assert Decimal(strict_json.dump(read).decode()) == Decimal(text)


@pytest.mark.covers("TXT-01")
@given(fragments)
def test_a_text_is_accepted_exactly_if_the_standard_library_takes_it_as_json(text):
    try:
        strict_json.parse(text.encode())
    except InvalidJson:
        assert not is_python_json(text)
    else:
        assert is_python_json(text)


@pytest.mark.covers("TXT-01")
@given(st.binary(max_size=20))
def test_any_bytes_are_parsed_or_refused(raw):
    with suppress(InvalidJson):
        strict_json.parse(strict_json.dump(strict_json.parse(raw)))


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize(
    "raw",
    [
        b"1e400",
        b'{"a":[-1e400]}',
        b"1" * 309,
        b"[-" + b"9" * 4301 + b"]",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'"\0"',
        b"",
        b"[" * 960 + b"]" * 960,
        b'{"a":' * 101 + b"1" + b"}" * 101,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" + b"{}," * MAX_JSON_VALUES + b"{}]",
        b"[" + b"1," * MAX_JSON_VALUES + b"1]",
        b'"' * 1_000_000,
    ],
    ids=lambda raw: f"{raw[:12]!r} of {len(raw)}",
)
def test_what_other_parsers_may_refuse_is_refused(raw):
    with pytest.raises(InvalidJson):
        strict_json.parse(raw)


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize(
    "raw",
    [
        b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH,
        b"[" + b"1," * (MAX_JSON_VALUES - 2) + b"1]",
        b'"' + b"[{," * MAX_JSON_VALUES + b'"',
        b'"' + b'\\"[\\\\' * MAX_JSON_VALUES + b'"',
        b'["\\\\",' + b'"[' + b"1" * 400 + b'"]',
        b"1" * 308,
        b"[" + b"[]," * 200 + b"[]]",
    ],
    ids=lambda raw: f"{raw[:12]!r} of {len(raw)}",
)
def test_what_lies_within_the_limits_or_stands_in_a_string_is_accepted(raw):
    assert strict_json.dump(strict_json.parse(raw)) == raw


@pytest.mark.covers("TXT-01")
def test_of_members_with_the_same_name_the_last_one_counts():
    assert strict_json.parse(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.covers("TXT-02")
@given(values, st.floats())
def test_the_writer_writes_nothing_but_json(value, number):
    written = strict_json.dump({"a": value, "b": number, "c": msgspec.Raw(b"1.50")})

    assert strict_json.parse(written)["b"] == (number if math.isfinite(number) else None)
    assert written.endswith(b'"c":1.50}')


@pytest.mark.covers("TXT-02")
def test_the_writer_refuses_what_it_does_not_know():
    with pytest.raises(TypeError):
        strict_json.dump(object())
    with pytest.raises(ValueError, match="surrogates"):
        strict_json.dump("\ud800")


@given(values, values)
def test_a_member_is_found_with_its_own_text(value, other):
    raw = json.dumps({"x": other, "a": {"y": other, "b": value}}, indent=1).encode()

    assert strict_json.find_member(raw, "a", "b") == json.dumps(value, indent=1).replace("\n", "\n  ").encode()
    assert strict_json.find_member(raw, "a", "c") is None


@pytest.mark.parametrize("raw", [b"[]", b"1", b"", b"{", b'{"a":', b'{"a":1', b"[" * 100_000, b'{"a":' * 100_000])
def test_there_is_no_member_in_anything_but_an_object(raw):
    assert strict_json.find_member(raw, "a") is None
