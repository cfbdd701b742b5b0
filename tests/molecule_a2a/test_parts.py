from copy import deepcopy

import pytest
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.parts import downgrade_part, upgrade_part
from tests.molecule_a2a.objects import current_parts, few, legacy_parts, many, spoilt
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

PAIRS = [
    ({"kind": "text", "text": "hi"}, {"text": "hi"}),
    (
        {"kind": "file", "file": {"name": "a.png", "mimeType": "image/png", "bytes": "iVBO"}},
        {"raw": "iVBO", "filename": "a.png", "mediaType": "image/png"},
    ),
    ({"kind": "file", "file": {"uri": "https://e/x"}}, {"url": "https://e/x"}),
    ({"kind": "data", "data": {"k": 1}}, {"data": {"k": 1}}),
    ({"kind": "data", "data": {"value": [1]}, "metadata": {"data_part_compat": True}}, {"data": [1]}),
    (
        {"kind": "data", "data": {"value": None}, "metadata": {"m": 1, "data_part_compat": True}},
        {"data": None, "metadata": {"m": 1}},
    ),
    ({"kind": "text", "text": "hi", "mediaType": "text/html"}, {"text": "hi", "mediaType": "text/html"}),
    (
        {"kind": "file", "file": {"uri": "u", "vendor": 1}, "x": 2, "metadata": {}},
        {"url": "u", "file": {"vendor": 1}, "x": 2, "metadata": {}},
    ),
]


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_a_part_has_one_form_in_each_dialect(legacy, current):
    assert upgrade_part(legacy) == current
    assert downgrade_part(current) == legacy


@pytest.mark.parametrize(
    ("old", "current"),
    [
        ("hi", {"text": "hi"}),
        ({"type": "text", "text": "hi"}, {"text": "hi"}),
        ({"type": "text", "kind": "text", "text": "hi"}, {"text": "hi"}),
        ({"type": "file", "file": {"bytes": "iVBO"}}, {"raw": "iVBO"}),
        ({"type": "data", "data": {"k": 1}}, {"data": {"k": 1}}),
        ({"file": {"fileWithUri": "u", "mimeType": "m", "name": "n"}}, {"url": "u", "mediaType": "m", "filename": "n"}),
        ({"kind": "file", "file": {"fileWithBytes": "iVBO"}}, {"raw": "iVBO"}),
        ({"kind": "file", "file": {"bytes": "iVBO", "uri": None, "name": None}}, {"raw": "iVBO"}),
        ({"kind": "file", "file": {"bytes": "iVBO", "uri": "u"}}, {"raw": "iVBO", "file": {"uri": "u"}}),
        ({"kind": "file", "file": {"bytes": "iVBO"}, "text": "t"}, {"raw": "iVBO", "text": "t"}),
        ({"kind": "data", "data": {"data": {"k": 1}}}, {"data": {"data": {"k": 1}}}),
    ],
)
def test_older_spellings_are_read(old, current):
    assert upgrade_part(old) == current


@pytest.mark.parametrize(
    "part",
    [
        {"text": "hi", "type": "greeting", "kind": ["text"]},
        {"text": "hi", "file": {"uri": "u"}},
        {"raw": "iVBO", "file": {"uri": "u"}},
        {"url": "u", "file": {"bytes": "iVBO"}},
        {"data": None, "file": {"uri": "u"}},
        {"data": {"value": 1}, "metadata": {"data_part_compat": True}},
        {"file": {"name": "n"}},
        {"file": "u"},
        {},
        None,
        5,
        ["text"],
    ],
)
def test_what_is_no_part_of_the_old_form_is_not_upgraded(part):
    assert upgrade_part(part) == part


@pytest.mark.parametrize(
    "part",
    [
        {"kind": "data", "data": {"value": 1, "more": 2}, "metadata": {"data_part_compat": True}},
        {"kind": "data", "data": {"value": 1}, "metadata": {"data_part_compat": "true"}},
        {"kind": "data", "data": {"value": 1}, "metadata": ["data_part_compat"]},
        {"kind": "data", "data": ["value"], "metadata": {"data_part_compat": True}},
    ],
)
def test_only_a_wrapped_value_is_unwrapped(part):
    assert upgrade_part(part) == {name: value for name, value in part.items() if name != "kind"}


@pytest.mark.parametrize(
    ("current", "legacy"),
    [
        ({"raw": "iVBO", "media_type": "m"}, {"kind": "file", "file": {"bytes": "iVBO", "mimeType": "m"}}),
        ({}, {"kind": "text", "text": ""}),
        ({"text": None, "x": 1}, {"kind": "text", "text": "", "x": 1}),
        ({"text": ""}, {"kind": "text", "text": ""}),
        ({"raw": None, "url": "u"}, {"kind": "file", "file": {"uri": "u"}, "raw": None}),
        ({"raw": "iVBO", "url": "u"}, {"kind": "file", "file": {"bytes": "iVBO"}, "url": "u"}),
        ({"text": "hi", "kind": "data"}, {"kind": "text", "text": "hi"}),
        ({"kind": "file", "file": {"name": "n"}}, {"kind": "text", "text": "", "file": {"name": "n"}}),
        ({"kind": "file", "file": ["bytes"], "url": "u"}, {"kind": "file", "file": {"uri": "u"}}),
        (
            {"data": 5, "metadata": "m"},
            {"kind": "data", "data": {"value": 5}, "metadata": {"data_part_compat": True}},
        ),
        (7, 7),
    ],
)
def test_every_part_of_the_new_form_becomes_a_part(current, legacy):
    assert downgrade_part(current) == legacy


def test_numbers_and_texts_stay_exact():
    data = {"big": 9007199254740993, "whole": 1, "float": 0.1}
    assert downgrade_part(upgrade_part({"kind": "data", "data": data}))["data"] is data
    assert upgrade_part({"kind": "file", "file": {"bytes": "-_8"}}) == {"raw": "-_8"}


@few
@given(legacy_parts)
def test_a_part_of_the_old_form_is_upgraded_without_loss(part):
    upgraded = upgrade_part(part)
    assert downgrade_part(upgraded) == part
    assert downgrade_part(part) == part
    assert read_current(a2a_pb2.Part, upgraded) == conversions.to_core_part(types.Part.model_validate(part))


@few
@given(current_parts)
def test_a_part_of_the_new_form_is_downgraded_without_loss(part):
    downgraded = downgrade_part(part)
    assert upgrade_part(downgraded) == part
    assert upgrade_part(part) == part
    expected = conversions.to_compat_part(read_current(a2a_pb2.Part, part))
    assert read_legacy(types.Part, downgraded) == dump_legacy(expected)


@many
@given(spoilt(*(part for pair in PAIRS for part in pair)))
def test_any_value_is_converted_once(part):
    before = deepcopy(part)
    upgraded, downgraded = upgrade_part(part), downgrade_part(part)
    assert upgrade_part(upgraded) == upgraded
    assert downgrade_part(downgraded) == downgraded
    assert part == before
