import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.notes.configs import rules
from services.registry.notes.configs.rules import Viewport
from services.registry.notes.errors import InvalidNote, NoteTooLarge

objects = st.dictionaries(st.text("abé"), st.none() | st.integers() | st.text() | st.lists(st.booleans()))


def test_the_limits_are_those_of_the_contract():
    assert rules.MAX_CONFIG_BYTES == 262144
    assert json.loads(rules.EMPTY_CONFIG) == {}
    assert Viewport() == Viewport(x=0.0, y=0.0, zoom=1.0)


@given(objects, objects)
def test_the_keys_of_the_patch_replace_those_of_the_object(before, patch):
    merged = rules.merge_config(json.dumps(before), json.dumps(patch))

    assert json.loads(merged) == {**before, **patch}
    assert rules.merge_config(merged, "{}") == merged


def test_a_merged_object_is_compact_and_not_escaped():
    assert rules.merge_config('{"a": [1, 2]}', '{"é": {"b": null}}') == '{"a":[1,2],"é":{"b":null}}'


def build_object(size):
    """An object of one key, as compact JSON of so many bytes."""
    text = '{"a":"' + "x" * (size - 8) + '"}'
    assert len(text) == size
    return text


def test_an_object_may_have_exactly_the_maximum_size():
    largest = build_object(262144)

    assert rules.merge_config("{}", largest) == largest
    assert rules.merge_config(largest, '{"a":""}') == '{"a":""}'
    with pytest.raises(NoteTooLarge):
        rules.merge_config("{}", build_object(262145))
    with pytest.raises(NoteTooLarge):
        rules.merge_config("{}", '{"a":"' + "é" * 131069 + '"}')


def test_a_patch_above_the_limit_is_refused_even_if_the_merged_object_would_fit():
    with pytest.raises(NoteTooLarge):
        rules.merge_config("{}", " " * 262143 + "{}")
    assert rules.merge_config("{}", " " * 262142 + "{}") == "{}"


def test_a_merged_object_above_the_limit_is_refused():
    half = 262144 // 2
    one, other = f'{{"a":"{"x" * half}"}}', f'{{"b":"{"x" * half}"}}'

    with pytest.raises(NoteTooLarge):
        rules.merge_config(one, other)


@pytest.mark.parametrize("patch", ["", "[]", "null", "1", '"a"', "{", "[" * 100_000])
def test_a_patch_that_is_no_object_is_refused(patch):
    with pytest.raises(InvalidNote) as refusal:
        rules.merge_config("{}", patch)

    assert refusal.value.message == "invalid JSON"


@pytest.mark.parametrize("name", ["x", "y", "zoom"])
@pytest.mark.parametrize(
    ("number", "is_valid"), [(0.0, True), (-1e300, True), (float("nan"), False), (float("inf"), False)]
)
def test_a_viewport_has_finite_numbers(name, number, is_valid):
    viewport = Viewport(**{name: number})

    if is_valid:
        rules.check_viewport(viewport)
        return
    with pytest.raises(InvalidNote) as refusal:
        rules.check_viewport(viewport)
    assert refusal.value.message == "invalid viewport data"


@pytest.mark.covers("TXT-03")
@pytest.mark.parametrize("number", ["0.10", "1E2", "123456789012345678901234567890.5", "1e-400", "9" * 308])
def test_a_merged_object_keeps_each_number_as_it_was_sent(number):
    merged = rules.merge_config(f'{{"a":{number},"b":1}}', f'{{"b":{number}}}')

    assert merged == f'{{"a":{number},"b":{number}}}'


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize("value", ["NaN", "1e400", "9" * 309, "[" * 100 + "]" * 100, '"\\ud800"'])
def test_a_patch_that_is_not_strict_json_is_refused(value):
    with pytest.raises(InvalidNote):
        rules.merge_config("{}", f'{{"a":{value}}}')


@pytest.mark.covers("TXT-03")
@pytest.mark.parametrize("value", ["NaN", "[" * 100 + "]" * 100, '"\\ud800"'])
def test_a_key_that_an_earlier_release_stored_badly_can_be_replaced(value):
    assert rules.merge_config(f'{{"a":{value}}}', '{"a":1}') == '{"a":1}'
