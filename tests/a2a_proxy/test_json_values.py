"""Members of JSON values of which nothing is known."""

import pytest

from services.a2a_proxy.json_values import get_list, get_object

VALUE = {"object": {"a": 1}, "list": [1], "text": "a", "null": None}


def test_a_member_is_returned_if_it_has_the_type():
    assert get_object(VALUE, "object") == {"a": 1}
    assert get_list(VALUE, "list") == [1]


@pytest.mark.parametrize("name", ["text", "null", "missing"])
def test_any_other_member_counts_as_empty(name):
    assert get_object(VALUE, name) == {}
    assert get_list(VALUE, name) == []


def test_lists_and_objects_are_not_confused():
    assert get_object(VALUE, "list") == {}
    assert get_list(VALUE, "object") == []


@pytest.mark.parametrize("value", [None, "text", ["object", "list"], 1])
def test_what_is_no_object_has_no_members(value):
    assert get_object(value, "object") == {}
    assert get_list(value, "list") == []
