from copy import deepcopy

import pytest
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.tasks import (
    INTERRUPTED_STATES,
    STATES,
    TERMINAL_STATES,
    downgrade_state,
    downgrade_status,
    downgrade_task,
    upgrade_state,
    upgrade_status,
    upgrade_task,
)
from tests.molecule_a2a.objects import current_tasks, few, legacy_tasks, many, spoilt
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

LEGACY = {
    "kind": "task",
    "id": "T",
    "contextId": "C",
    "status": {
        "state": "input-required",
        "timestamp": "2026-01-01T00:00:00Z",
        "message": {"kind": "message", "messageId": "m", "role": "agent", "parts": [{"kind": "text", "text": "?"}]},
    },
    "artifacts": [{"artifactId": "A", "parts": [{"kind": "text", "text": "x"}]}],
    "history": [{"kind": "message", "messageId": "h", "role": "user", "parts": []}],
    "vendor": 1,
}

CURRENT = {
    "id": "T",
    "contextId": "C",
    "status": {
        "state": "TASK_STATE_INPUT_REQUIRED",
        "timestamp": "2026-01-01T00:00:00Z",
        "message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "?"}]},
    },
    "artifacts": [{"artifactId": "A", "parts": [{"text": "x"}]}],
    "history": [{"messageId": "h", "role": "ROLE_USER", "parts": []}],
    "vendor": 1,
}


def test_a_task_has_one_form_in_each_dialect():
    assert upgrade_task(LEGACY) == CURRENT
    assert downgrade_task(CURRENT) == LEGACY


def test_the_states_are_those_of_the_sdk():
    assert list(STATES.values()) == list(a2a_pb2.TaskState.keys())
    assert set(STATES) == {state.value for state in types.TaskState}
    assert {conversions._COMPAT_TO_CORE_TASK_STATE[types.TaskState(name)] for name in STATES} == set(range(len(STATES)))
    assert set(STATES) - {"unknown", "submitted", "working"} == TERMINAL_STATES | INTERRUPTED_STATES


@pytest.mark.parametrize(("legacy", "current"), STATES.items())
def test_a_state_has_one_name_in_each_dialect(legacy, current):
    assert upgrade_state(legacy) == current
    assert upgrade_state(current) == current
    assert downgrade_state(current) == legacy
    assert downgrade_state(legacy) == legacy
    assert downgrade_state(a2a_pb2.TaskState.Value(current)) == legacy


@pytest.mark.parametrize(
    ("state", "upgraded", "downgraded"),
    [
        ("cancelled", "TASK_STATE_CANCELED", "canceled"),
        ("TASK_STATE_CANCELLED", "TASK_STATE_CANCELED", "canceled"),
        ("paused", "TASK_STATE_UNSPECIFIED", "unknown"),
        ("TASK_STATE_PAUSED", "TASK_STATE_PAUSED", "unknown"),
        (9, 9, "unknown"),
        (-1, -1, "unknown"),
        (None, None, "unknown"),
        (["working"], ["working"], "unknown"),
    ],
)
def test_strange_states(state, upgraded, downgraded):
    assert upgrade_state(state) == upgraded
    assert downgrade_state(state) == downgraded


def test_a_timestamp_gets_a_zone_and_another_text_is_left_out():
    assert upgrade_status({"timestamp": "2026-01-01T00:00:00"}) == {"timestamp": "2026-01-01T00:00:00Z"}
    assert upgrade_status({"state": "working", "timestamp": "soon"}) == {"state": "TASK_STATE_WORKING"}
    assert upgrade_status({"timestamp": None}) == {"timestamp": None}


def test_a_session_is_a_context_if_there_is_no_other():
    assert upgrade_task({"id": "T", "sessionId": "S"}) == {"id": "T", "contextId": "S"}
    assert upgrade_task({"id": "T", "sessionId": "S", "contextId": "C"}) == {
        "id": "T",
        "sessionId": "S",
        "contextId": "C",
    }


def test_what_proto_json_leaves_out_is_filled_for_the_old_dialect():
    filled = {"kind": "task", "id": "", "contextId": "", "status": {"state": "unknown"}}
    assert downgrade_task({}) == filled
    assert downgrade_task({"status": 5, "id": None}) == filled
    assert downgrade_status(None) == {"state": "unknown"}


def test_snake_case_is_read():
    assert downgrade_task({"id": "T", "context_id": "C"})["contextId"] == "C"


def test_null_and_another_kind_are_kept():
    task = {"kind": "vendor", "history": None, "artifacts": None, "status": None}
    assert upgrade_task(task) == task


@few
@given(legacy_tasks)
def test_a_task_of_the_old_form_is_upgraded_without_loss(task):
    upgraded = upgrade_task(task)
    assert downgrade_task(upgraded) == task
    assert downgrade_task(task) == task
    assert read_current(a2a_pb2.Task, upgraded) == conversions.to_core_task(types.Task.model_validate(task))


@few
@given(current_tasks)
def test_a_task_of_the_new_form_is_downgraded_without_loss(task):
    downgraded = downgrade_task(task)
    assert upgrade_task(downgraded) == task
    assert upgrade_task(task) == task
    expected = dump_legacy(conversions.to_compat_task(read_current(a2a_pb2.Task, task)))
    shown = read_legacy(types.Task, downgraded)
    for status in (expected["status"], shown["status"]):
        status.pop("timestamp", None)  # the SDK rewrites it
    assert shown == expected


@many
@given(spoilt(LEGACY, CURRENT).filter(lambda value: isinstance(value, dict)))
def test_any_object_is_converted_once(task):
    before = deepcopy(task)
    upgraded, downgraded = upgrade_task(task), downgrade_task(task)
    assert upgrade_task(upgraded) == upgraded
    assert downgrade_task(downgraded) == downgraded
    assert task == before
