"""The limits of the YAML parser."""

import json

import pytest
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
