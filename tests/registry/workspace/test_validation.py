import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.registry.errors.workspaces import (
    CardTooLarge,
    InvalidBody,
    InvalidDeliveryMode,
    InvalidValue,
    InvalidWorkspace,
)
from services.registry.workspace.validation import (
    MAX_CARD_BYTES,
    WorkspaceDraft,
    parse_card,
    validate_changes,
    validate_new,
)
from tests.registry.workspace.test_state_machine import workspace


def test_absent_fields_get_their_defaults():
    draft = validate_new(WorkspaceDraft(name="ada"))

    assert (draft.runtime, draft.tier, draft.workspace_access, draft.max_concurrent_tasks) == (
        "langgraph",
        3,
        "none",
        1,
    )


@pytest.mark.covers("REG-06")
@pytest.mark.parametrize("fields", [{"external": True}, {"runtime": "external"}, {"external": True, "runtime": "echo"}])
def test_external_is_a_runtime(fields):
    draft = validate_new(WorkspaceDraft(name="ada", **fields))

    assert (draft.external, draft.runtime) == (True, "external")


@pytest.mark.covers("REG-04")
@pytest.mark.parametrize(("fields", "kept"), [(3, 3), (0, 1), (-2, 1)])
def test_an_agent_has_at_least_one_concurrent_task(fields, kept):
    assert validate_new(WorkspaceDraft(name="ada", max_concurrent_tasks=fields)).max_concurrent_tasks == kept


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": ""}, "invalid workspace fields"),
        ({"name": "  "}, "invalid workspace fields"),
        ({"name": "a\nb"}, "invalid workspace fields"),
        ({"name": "é" * 128}, "invalid workspace fields"),
        ({"name": "a|b"}, "invalid workspace fields"),
        ({"name": "a\0b"}, "invalid workspace fields"),
        ({"role": "x" * 1001}, "invalid workspace fields"),
        ({"runtime": "x" * 101}, "invalid workspace fields"),
        ({"model": "a\rb"}, "invalid workspace fields"),
        ({"tier": 5}, "invalid workspace fields"),
        ({"tier": -1}, "invalid workspace fields"),
        ({"budget_limit": -1}, "invalid workspace fields"),
        ({"x": float("nan")}, "invalid workspace fields"),
        ({"workspace_dir": "relative"}, "invalid workspace directory"),
        ({"workspace_dir": "/home/../etc"}, "invalid workspace directory"),
        ({"workspace_dir": "/etc/ssl"}, "invalid workspace directory"),
        ({"workspace_dir": "//etc/ssl"}, "invalid workspace directory"),
        ({"workspace_dir": "/"}, "invalid workspace directory"),
        ({"workspace_access": "read_only"}, "invalid workspace access"),
        ({"workspace_access": "all", "workspace_dir": "/srv/x"}, "invalid workspace access"),
    ],
)
def test_a_draft_over_a_limit_is_refused_with_its_public_text(fields, text):
    with pytest.raises(InvalidWorkspace) as refusal:
        validate_new(WorkspaceDraft(**{"name": "ada"} | fields))

    assert refusal.value.message == text


@pytest.mark.covers("REG-03")
def test_an_unknown_delivery_mode_is_refused():
    with pytest.raises(InvalidDeliveryMode):
        validate_new(WorkspaceDraft(name="ada", delivery_mode="carrier-pigeon"))


def test_a_directory_outside_the_system_directories_is_allowed():
    assert (
        validate_new(WorkspaceDraft(name="ada", workspace_dir="/srv/ada", workspace_access="read_write")).workspace_dir
        == "/srv/ada"
    )
    assert validate_new(WorkspaceDraft(name="ada", workspace_dir="/etcetera")).workspace_dir == "/etcetera"


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"name": "a\nb"}, "name must not contain newline characters"),
        ({"name": "a{b"}, "name contains invalid characters"),
        ({"name": "a" * 256}, "name must be at most 255 characters"),
        ({"role": "a" * 1001}, "role must be at most 1000 characters"),
        ({"x": 1.0}, "x and y must be given together"),
        ({"tier": 9}, "invalid value for field: tier"),
        ({"name": None}, "invalid value for field: name"),
        ({"collapsed": None}, "invalid value for field: collapsed"),
        ({"hibernation_idle_minutes": -1}, "invalid value for field: hibernation_idle_minutes"),
        ({"workspace_dir": "/proc/1"}, "invalid workspace directory"),
    ],
)
def test_a_change_over_a_limit_is_refused_with_its_public_text(wanted, text):
    with pytest.raises(InvalidValue) as refusal:
        validate_changes(workspace(), wanted)

    assert refusal.value.message == text


def test_a_change_writes_only_the_named_fields():
    before = workspace(role="cook", workspace_dir="/srv/x")
    now = validate_changes(before, {"name": "eve", "role": None, "x": 1.5, "y": 2.5, "workspace_dir": "", "tier": 2})

    assert (now.name, now.role, now.x, now.y, now.workspace_dir, now.tier) == ("eve", None, 1.5, 2.5, None, 2)
    assert (now.collapsed, now.max_concurrent_tasks) == (before.collapsed, before.max_concurrent_tasks)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_a_card_is_any_json_object(card):
    assert parse_card(json.dumps(card).encode()) == card


@pytest.mark.parametrize(
    "card", [b"", b"[]", b'"x"', b"{", b'{"a": NaN}', b"\xff", b"[" * 200_000, b'{"a":' * 200 + b"1" + b"}" * 200]
)
def test_an_invalid_card_is_refused(card):
    with pytest.raises(InvalidBody):
        parse_card(card)


def test_a_card_has_a_size_limit():
    with pytest.raises(CardTooLarge) as refusal:
        parse_card(b'{"a":"' + b"x" * MAX_CARD_BYTES + b'"}')

    assert refusal.value.details == {"max_bytes": 262144}


@given(st.binary(max_size=300))
def test_parsing_a_card_raises_no_other_error(card):
    with contextlib.suppress(InvalidArgument):
        parse_card(card)
