"""The limits of the YAML parser."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.registry.templates import bounded_yaml
from services.registry.templates.bounded_yaml import InvalidYaml, parse_yaml

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="ascii"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_json_is_parsed_to_the_same_value(value):
    assert parse_yaml(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_content_is_parsed_or_refused_in_one_line(content):
    fault = None
    try:
        parse_yaml(content)
    except InvalidYaml as found:
        fault = found
    assert "\n" not in str(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: &x {<<: *x}", "aliases"),
        ("a: 1\na: 2", "line 2: a is there twice"),
        ("a: [" * 80 + "]" * 80, "levels"),
        ("[" + "1," * bounded_yaml.MAX_YAML_VALUES + "1]", "values"),
        ("a: !!python/object/apply:os.system ['true']", "constructor"),
        ("a: !include b.yaml", "!include is not possible"),
        ("a: [1", "line"),
        ("a: b: c", "line 1"),
        ("\x00", "YAML"),
        ("a: " + "9" * 10_000, "YAML"),
    ],
)
def test_yaml_beyond_the_limits_is_refused(text, fault):
    with pytest.raises(InvalidYaml, match=fault):
        parse_yaml(text.encode())


def test_a_document_that_is_too_large_or_not_text_is_refused():
    with pytest.raises(InvalidYaml, match="bytes"):
        parse_yaml(b"#" * (bounded_yaml.MAX_YAML_BYTES + 1))
    with pytest.raises(InvalidYaml, match="UTF-8"):
        parse_yaml(b"a: \xff")


def test_an_include_is_replaced_by_its_document():
    assert parse_yaml(b"team: !include team.yaml", lambda path: [path]) == {"team": ["team.yaml"]}


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (bounded_yaml.MAX_YAML_BYTES, 1024 * 1024),
        (bounded_yaml.MAX_YAML_VALUES, 50_000),
        (bounded_yaml.MAX_YAML_DEPTH, 64),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


def test_a_document_may_have_exactly_the_maximum_size():
    largest = b"1 #".ljust(bounded_yaml.MAX_YAML_BYTES, b"x")

    assert parse_yaml(largest) == 1
    with pytest.raises(InvalidYaml, match="more than 1048576 bytes"):
        parse_yaml(largest + b"x")


def nest(levels, innermost="", before="[", after="]"):
    return (before * levels + innermost + after * levels).encode()


@pytest.mark.parametrize(
    ("content", "is_valid"),
    [
        (nest(64), True),
        (nest(65), False),
        (nest(64, "1"), True),
        (nest(64, "1", "{a: ", "}"), True),
        (nest(65, "1", "{a: ", "}"), False),
        (b"[" + b"[[]]," * 100 + b"]", True),
        (b"[[]," * 63 + b"1" + b"]" * 63, True),
        (b"[[]," * 64 + b"1" + b"]" * 64, False),
    ],
)
def test_a_document_has_at_most_64_levels(content, is_valid):
    if is_valid:
        assert parse_yaml(content)
        return
    with pytest.raises(InvalidYaml, match="more than 64 levels"):
        parse_yaml(content)


def test_a_list_and_its_scalars_count_as_values():
    with_values = "[" + "1," * 49_999

    bounded_yaml._check_size(with_values + "]")
    with pytest.raises(InvalidYaml, match="more than 50000 values"):
        bounded_yaml._check_size(with_values + "1]")


def test_a_byte_order_mark_is_skipped_and_keys_of_two_types_differ():
    assert parse_yaml(b"\xef\xbb\xbfa: 1") == {"a": 1}
    assert parse_yaml(b"1: a\n'1': b") == {1: "a", "1": "b"}
    assert parse_yaml(b"") is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: a is there twice"),
        (f"{'k' * 60}: 1\n{'k' * 60}: 2", f"line 2: {'k' * 50} is there twice"),
        ("x: {a: 1, a: 2}", "line 1: a is there twice"),
        ("a: &x 1\nb: *x", "line 2: aliases are not possible here"),
        ("a: 1\nb: !include c.yaml", "line 2: !include is not possible here"),
        ("a: !unknown b", "line 1: could not determine a constructor for the tag '!unknown'"),
        ("a: !!int b", "not readable YAML"),
        ("\x07", "not readable YAML"),
        (f"a: !{'t' * 300} b", f"line 1: could not determine a constructor for the tag '!{'t' * 152}"),
    ],
)
def test_a_fault_is_described_by_its_line(text, fault):
    with pytest.raises(InvalidYaml) as refusal:
        parse_yaml(text.encode())

    assert str(refusal.value) == fault


def test_an_include_takes_a_path_and_its_faults_are_kept():
    def refuse(path):
        raise InvalidYaml(f"no {path}")

    with pytest.raises(InvalidYaml, match=r"^line 1: !include takes a path$"):
        parse_yaml(b"team: !include [a]", lambda path: path)
    with pytest.raises(InvalidYaml, match=r"^no team.yaml$"):
        parse_yaml(b"team: !include team.yaml", refuse)
    assert parse_yaml(b"- !include 3\n- !include a b", str.upper) == ["3", "A B"]


def test_an_error_of_the_parser_without_a_place_and_a_text_is_described_too():
    assert bounded_yaml._describe_error(yaml.MarkedYAMLError()) == "not readable YAML"
    assert bounded_yaml._describe_error(yaml.MarkedYAMLError(problem="odd")) == "odd"


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize("number", ["0x" + "f" * 4000, "-0x" + "f" * 300, "1" + "0" * 308, "-1" + "0" * 308])
def test_a_whole_number_out_of_range_is_refused(number):
    with pytest.raises(InvalidYaml, match=r"^line 1: a number out of range$"):
        parse_yaml(f"a: {number}".encode())


@pytest.mark.parametrize(("text", "number"), [("9" * 308, int("9" * 308)), ("0x1F", 31), ("-7", -7), ("1_000", 1000)])
def test_every_other_whole_number_is_parsed(text, number):
    assert parse_yaml(text.encode()) == number
