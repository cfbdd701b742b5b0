from dataclasses import replace
from datetime import timedelta

import pytest

from services.registry.notes.entries import rules
from services.registry.notes.entries.rules import EntryDraft, KeyValueEntry
from services.registry.notes.errors import InvalidNote, VersionMismatch
from tests.registry.strategies import NOW

DRAFT = EntryDraft(key="k", value="1")
STORED = KeyValueEntry(key="k", value="0", version=3, updated_at=NOW - timedelta(hours=1), expires_at=NOW)


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (rules.MAX_KEY_BYTES, 200),
        (rules.MAX_VALUE_BYTES, 65536),
        (rules.MAX_TTL, timedelta(seconds=31_536_000)),
        (rules.MAX_ENTRIES_PER_WORKSPACE, 500),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "x"},
        {"key": "x" * 200},
        {"key": "é" * 100},
        {"key": " ~"},
        {"value": ""},
        {"value": "x" * 65536},
        {"value": "é" * 32768},
        {"ttl_seconds": None},
        {"ttl_seconds": 1},
        {"ttl_seconds": 31_536_000},
        {"if_match_version": None},
        {"if_match_version": 0},
        {"if_match_version": 1},
    ],
)
def test_a_write_within_the_limits_is_valid(fields):
    rules.check_draft(replace(DRAFT, **fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"key": ""}, "key is required"),
        ({"key": "x" * 201}, "key must be <= 200 bytes"),
        ({"key": "é" * 100 + "x"}, "key must be <= 200 bytes"),
        ({"key": "\0"}, "key must not contain control characters"),
        ({"key": "a\x1f"}, "key must not contain control characters"),
        ({"key": "a\x7f"}, "key must not contain control characters"),
        ({"value": "x" * 65537}, "value must be <= 65536 bytes"),
        ({"value": "é" * 32768 + "x"}, "value must be <= 65536 bytes"),
        ({"ttl_seconds": 0}, "ttl_seconds must be 1-31536000"),
        ({"ttl_seconds": -5}, "ttl_seconds must be 1-31536000"),
        ({"ttl_seconds": 31_536_001}, "ttl_seconds must be 1-31536000"),
        ({"if_match_version": -1}, "if_match_version must not be negative"),
    ],
)
def test_a_write_over_a_limit_is_refused(fields, message):
    with pytest.raises(InvalidNote) as refusal:
        rules.check_draft(replace(DRAFT, **fields))

    assert refusal.value.message == message


@pytest.mark.parametrize(("before", "version"), [(None, 1), (STORED, 4)])
def test_a_write_replaces_the_value_and_its_expiry_and_counts_the_version(before, version):
    assert rules.build_next_entry(before, DRAFT, NOW) == KeyValueEntry(
        key="k", value="1", version=version, updated_at=NOW, expires_at=None
    )


def test_an_entry_expires_after_its_time_to_live():
    assert rules.build_next_entry(None, replace(DRAFT, ttl_seconds=60), NOW).expires_at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("before", "expected", "next_version"),
    [(None, 0, 1), (STORED, 3, 4), (None, 1, None), (STORED, 0, None), (STORED, 2, None), (STORED, 4, None)],
)
def test_a_write_is_refused_unless_it_names_the_current_version(before, expected, next_version):
    draft = replace(DRAFT, if_match_version=expected)

    if next_version is not None:
        assert rules.build_next_entry(before, draft, NOW).version == next_version
        return
    with pytest.raises(VersionMismatch) as refusal:
        rules.build_next_entry(before, draft, NOW)
    assert refusal.value.details == {
        "expected_version": expected,
        "current_version": None if before is None else before.version,
    }
