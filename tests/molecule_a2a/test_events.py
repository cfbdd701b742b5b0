from copy import deepcopy

import pytest
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.events import build_task, downgrade_event, upgrade_event
from molecule_a2a.model import Operation
from tests.molecule_a2a.objects import current_events, few, legacy_events, many, spoilt
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

STREAM, SUBSCRIPTION = Operation.SEND_STREAMING_MESSAGE, Operation.SUBSCRIBE_TO_TASK

STATUS_UPDATE = {
    "kind": "status-update",
    "taskId": "T",
    "contextId": "C",
    "status": {"state": "completed"},
    "final": True,
}
ARTIFACT_UPDATE = {
    "kind": "artifact-update",
    "taskId": "T",
    "contextId": "C",
    "artifact": {"artifactId": "A", "parts": [{"kind": "text", "text": "x"}]},
    "append": True,
    "lastChunk": True,
}
CURRENT_STATUS_UPDATE = {
    "statusUpdate": {"taskId": "T", "contextId": "C", "status": {"state": "TASK_STATE_COMPLETED"}},
}
CURRENT_ARTIFACT_UPDATE = {
    "artifactUpdate": {
        "taskId": "T",
        "contextId": "C",
        "artifact": {"artifactId": "A", "parts": [{"text": "x"}]},
        "append": True,
        "lastChunk": True,
    },
}

PAIRS = [
    (STATUS_UPDATE, CURRENT_STATUS_UPDATE),
    (ARTIFACT_UPDATE, CURRENT_ARTIFACT_UPDATE),
    (
        {"kind": "task", "id": "T", "contextId": "C", "status": {"state": "submitted"}},
        {"task": {"id": "T", "contextId": "C", "status": {"state": "TASK_STATE_SUBMITTED"}}},
    ),
    (
        {"kind": "message", "messageId": "m", "role": "agent", "parts": []},
        {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": []}},
    ),
]


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_an_event_has_one_form_in_each_dialect(legacy, current):
    assert upgrade_event(legacy) == current
    assert downgrade_event(current, operation=STREAM) == legacy


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_an_event_in_the_form_of_the_target_stays(legacy, current):
    assert upgrade_event(current) == current
    assert downgrade_event(legacy, operation=STREAM) == legacy


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_an_event_without_a_kind_is_known_by_its_members(legacy, current):
    without = {name: value for name, value in legacy.items() if name != "kind"}
    assert upgrade_event(without) == current
    assert downgrade_event(without, operation=STREAM) == legacy


@pytest.mark.parametrize(
    ("event", "member"),
    [
        ({"artifact": {}, "messageId": "m"}, "artifactUpdate"),
        ({"parts": [], "taskId": "T"}, "message"),
        ({"messageId": "m", "final": True}, "message"),
        ({"final": False}, "statusUpdate"),
        ({"taskId": "T", "id": "x"}, "statusUpdate"),
        ({"id": "T"}, "task"),
        ({"status": {}}, "task"),
        ({"kind": "task", "artifact": 1}, "task"),
        ({"kind": "vendor", "id": "T"}, "task"),
        ({"kind": ["task"], "id": "T", "message": {}}, "task"),
        ({"kind": "message"}, "message"),
    ],
)
def test_the_members_of_an_event_say_what_it_is(event, member):
    assert list(upgrade_event(event)) == [member]


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("id", "task"),
        ("status", "task"),
        ("taskId", "statusUpdate"),
        ("messageId", "message"),
        ("parts", "message"),
        ("artifact", "artifactUpdate"),
    ],
)
def test_an_event_with_members_of_its_own_is_not_wrapped(name, member):
    event = {name: [], "task": {"id": "T"}}
    assert upgrade_event(event) == {member: event}


@pytest.mark.parametrize("event", [None, [], "task", 5, {}, {"kind": "vendor"}, {"task": None}, {"delta": {}}])
def test_what_is_no_event_is_none(event):
    assert upgrade_event(event) is None
    assert downgrade_event(event, operation=STREAM) is None


@pytest.mark.parametrize(
    ("state", "is_final_of_message", "is_final_of_subscription"),
    [
        ("TASK_STATE_WORKING", False, False),
        ("TASK_STATE_INPUT_REQUIRED", True, False),
        ("TASK_STATE_AUTH_REQUIRED", True, False),
        ("TASK_STATE_COMPLETED", True, True),
        ("TASK_STATE_FAILED", True, True),
        ("TASK_STATE_CANCELED", True, True),
        ("TASK_STATE_REJECTED", True, True),
        ("TASK_STATE_OTHER", False, False),
        (None, False, False),
    ],
)
def test_a_state_is_final_where_the_stream_ends(state, is_final_of_message, is_final_of_subscription):
    event = {"statusUpdate": {"taskId": "T", "status": {"state": state}, "final": None}}
    assert downgrade_event(event, operation=STREAM)["final"] is is_final_of_message
    assert downgrade_event(event, operation=SUBSCRIPTION)["final"] is is_final_of_subscription


def test_final_of_an_event_in_the_old_form_stays():
    assert downgrade_event({**STATUS_UPDATE, "final": False}, operation=STREAM)["final"] is False
    assert downgrade_event({**STATUS_UPDATE, "final": 0}, operation=STREAM)["final"] is True


def test_what_proto_json_leaves_out_is_filled_for_the_old_dialect():
    assert downgrade_event({"statusUpdate": {}}, operation=STREAM) == {
        "kind": "status-update",
        "taskId": "",
        "contextId": "",
        "status": {"state": "unknown"},
        "final": False,
    }
    assert downgrade_event({"artifactUpdate": {"artifact": None}}, operation=STREAM) == {
        "kind": "artifact-update",
        "taskId": "",
        "contextId": "",
        "artifact": {"artifactId": "", "parts": []},
    }


def test_snake_case_is_read():
    update = {"task_id": "T", "context_id": "C", "artifact": {}, "last_chunk": True}
    event = downgrade_event({"artifact_update": update}, operation=STREAM)
    assert (event["taskId"], event["contextId"], event["lastChunk"]) == ("T", "C", True)
    event = downgrade_event({"status_update": {"task_id": "T", "context_id": "C"}}, operation=STREAM)
    assert (event["kind"], event["taskId"], event["contextId"]) == ("status-update", "T", "C")


def test_members_beside_a_wrapped_event_are_kept():
    assert upgrade_event({"task": {"id": "T"}, "vendor": 1}) == {"task": {"id": "T"}, "vendor": 1}


def test_the_task_of_an_update_is_the_task_before_it():
    status = {"state": "TASK_STATE_SUBMITTED", "timestamp": "2026-01-01T00:00:00Z"}
    update = {"taskId": "T", "contextId": "C", "status": {**status, "message": {}}}
    assert build_task({"statusUpdate": update}) == {"id": "T", "contextId": "C", "status": status}
    working = {"id": "T", "contextId": "C", "status": {"state": "TASK_STATE_WORKING"}}
    assert build_task(CURRENT_STATUS_UPDATE) == working
    assert build_task(CURRENT_ARTIFACT_UPDATE) == working
    update = {"taskId": "T", "status": {**status, "state": "TASK_STATE_INPUT_REQUIRED"}}
    assert build_task({"statusUpdate": update}) == {"id": "T", "status": {"state": "TASK_STATE_WORKING"}}
    assert build_task({"statusUpdate": {"status": 5, "contextId": None}}) == {"status": {}}


@pytest.mark.parametrize("event", [{"task": {}}, {"message": {}}, {}, {"statusUpdate": 5}])
def test_only_an_update_has_a_task_before_it(event):
    assert build_task(event) is None


@few
@given(legacy_events)
def test_an_event_of_the_old_form_is_upgraded_without_loss(event):
    upgraded = upgrade_event(event)
    assert downgrade_event(upgraded, operation=STREAM) == event
    assert downgrade_event(event, operation=STREAM) == event
    expected = conversions.to_core_stream_response(
        types.SendStreamingMessageSuccessResponse.model_validate({"id": 1, "result": event})
    )
    assert read_current(a2a_pb2.StreamResponse, upgraded) == expected


@few
@given(current_events)
def test_an_event_of_the_new_form_is_downgraded_without_loss(event):
    downgraded = downgrade_event(event, operation=SUBSCRIPTION)
    assert upgrade_event(downgraded) == event
    assert upgrade_event(event) == event
    core = read_current(a2a_pb2.StreamResponse, event)
    expected = dump_legacy(conversions.to_compat_stream_response(core, 1))["result"]
    shown = read_legacy(types.SendStreamingMessageSuccessResponse, {"id": 1, "result": downgraded})["result"]
    for one in (shown, expected):  # the SDK rewrites timestamps, and sends flags that are false
        one.get("status", {}).pop("timestamp", None)
        one["flags"] = (one.pop("append", False), one.pop("lastChunk", False))
    assert shown == expected


@many
@given(spoilt(*(event for pair in PAIRS for event in pair)))
def test_any_value_is_converted_once(event):
    before = deepcopy(event)
    upgraded = upgrade_event(event)
    downgraded = downgrade_event(event, operation=STREAM)
    assert upgrade_event(upgraded) == upgraded
    assert downgrade_event(downgraded, operation=STREAM) == downgraded
    if upgraded is not None:
        build_task(upgraded)
    assert event == before
