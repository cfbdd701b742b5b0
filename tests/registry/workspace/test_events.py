import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace import events
from services.registry.workspace.events import Broadcast, BroadcastType, Event, EventDraft, EventRange, EventType
from services.registry.workspace.facts import (
    BootstrapFailed,
    InstanceExited,
    ProvisioningFailed,
    ProvisioningTimedOut,
)
from services.registry.workspace.model import DeliveryMode, HeartbeatNotice, Reason, Status, Vitals
from tests.registry.strategies import NOW, facts, workspaces
from tests.registry.workspace.test_state_machine import workspace

FACT = InstanceExited(at=NOW)
SINCE = NOW.replace(year=2025, hour=9, microsecond=5)
SINCE_TEXT = "2025-01-01T09:00:00.000005Z"


def build_stored_event(payload_bytes):
    return Event(id="e", event_id=1, type="T", workspace_id="w", payload="x" * payload_bytes, created_at=NOW)


def build_change(status, fact=FACT, before=None, **fields):
    """The event of a change to a status, without the members that every event has."""
    now = workspace(status, status_since=SINCE, **fields)
    before = before or workspace(Status.REMOVED if status is not Status.REMOVED else Status.ONLINE)
    [event] = events.build_change_events(before, now, fact)
    payload = dict(event.payload)
    assert payload.pop("status") == status
    assert payload.pop("status_reason") == now.status_reason
    assert payload.pop("status_since") == SINCE_TEXT
    return event.type, payload


# Stored events ───────────────────────────────────────────────────────────────


@given(workspaces, workspaces, facts)
def test_only_a_change_of_status_or_generation_has_an_event(before, now, fact):
    is_changed = before.status is not now.status or before.generation != now.generation

    assert len(events.build_change_events(before, now, fact)) == is_changed


def test_a_new_generation_in_the_same_status_has_an_event():
    before, now = workspace(Status.PROVISIONING, generation=1), workspace(Status.PROVISIONING, generation=2)

    assert events.build_change_events(before, before, FACT) == ()
    assert [event.type for event in events.build_change_events(before, now, FACT)] == [EventType.WORKSPACE_PROVISIONING]


@pytest.mark.parametrize(
    ("status", "fields", "event"),
    [
        (
            Status.PROVISIONING,
            {"x": 1.0, "y": 2.5, "parent_id": "p"},
            (
                EventType.WORKSPACE_PROVISIONING,
                {"name": "ada", "runtime": "echo", "tier": 3, "parent_id": "p", "x": 1, "y": 2.5},
            ),
        ),
        (Status.ONLINE, {}, (EventType.WORKSPACE_ONLINE, {"recovered_from": Status.REMOVED})),
        (
            Status.ONLINE,
            {"status_reason": Reason.EXTERNAL_CREATED},
            (EventType.WORKSPACE_ONLINE, {"external": True, "name": "ada"}),
        ),
        (
            Status.DEGRADED,
            {"status_reason": Reason.ERROR_RATE, "vitals": Vitals(sample_error="no", error_rate=0.5)},
            (EventType.WORKSPACE_DEGRADED, {"sample_error": "no", "error_rate": 0.5}),
        ),
        (
            Status.DEGRADED,
            {"status_reason": Reason.WEDGED, "vitals": Vitals(sample_error="no", error_rate=0.5)},
            (EventType.WORKSPACE_DEGRADED, {"sample_error": "no", "runtime_state": "wedged"}),
        ),
        (
            Status.DEGRADED,
            {"status_reason": Reason.REGISTER_FAILED, "vitals": Vitals(sample_error="no", error_rate=0.5)},
            (EventType.WORKSPACE_DEGRADED, {"sample_error": "no"}),
        ),
        (Status.OFFLINE, {}, (EventType.WORKSPACE_OFFLINE, {})),
        (Status.AWAITING_AGENT, {}, (EventType.WORKSPACE_AWAITING_AGENT, {"external": False, "name": "ada"})),
        (
            Status.AWAITING_AGENT,
            {"runtime": "external"},
            (EventType.WORKSPACE_AWAITING_AGENT, {"external": True, "name": "ada"}),
        ),
        (Status.PAUSED, {}, (EventType.WORKSPACE_PAUSED, {"name": "ada"})),
        (Status.HIBERNATING, {}, (EventType.WORKSPACE_HIBERNATING, {"name": "ada", "tier": 3})),
        (Status.HIBERNATED, {}, (EventType.WORKSPACE_HIBERNATED, {"name": "ada", "tier": 3})),
        (Status.REMOVED, {}, (EventType.WORKSPACE_REMOVED, {})),
    ],
)
def test_each_status_has_its_event_and_payload(status, fields, event):
    assert build_change(status, **fields) == event


@pytest.mark.parametrize(
    ("fact", "more"),
    [
        (ProvisioningTimedOut(at=NOW), {}),
        (ProvisioningFailed(at=NOW, error="no"), {}),
        (ProvisioningFailed(at=NOW, error="no", missing=("A", "B")), {"missing": ["A", "B"]}),
        (BootstrapFailed(at=NOW, error="no"), {}),
        (BootstrapFailed(at=NOW, error="no", log_tail="the end"), {"log_tail": "the end"}),
    ],
)
def test_a_failure_has_its_error_and_what_the_fact_adds(fact, more):
    event = build_change(Status.FAILED, fact, vitals=Vitals(sample_error="no"))

    assert event == (EventType.WORKSPACE_PROVISION_FAILED, {"error": "no", "runtime": "echo", **more})


STATUS_MEMBERS = {"status": Status.ONLINE, "status_reason": Reason.REGISTERED, "status_since": SINCE_TEXT}


def test_a_created_workspace_has_an_event():
    created = workspace(status_since=SINCE, name="eve", runtime="hermes", tier=1)

    assert events.build_creation_event(created) == EventDraft(
        EventType.WORKSPACE_PROVISIONING,
        {"name": "eve", "runtime": "hermes", "tier": 1, "x": 0, "y": 0, **STATUS_MEMBERS},
    )


def test_a_register_call_has_an_event_with_card_and_address():
    registered = workspace(status_since=SINCE, url="http://ada.example", delivery_mode=DeliveryMode.POLL)

    assert events.build_registration_event(registered, {"name": "ada"}) == EventDraft(
        EventType.WORKSPACE_ONLINE,
        {"agent_card": {"name": "ada"}, "url": "http://ada.example", "delivery_mode": "poll", **STATUS_MEMBERS},
    )


@pytest.mark.parametrize(("cascade", "more"), [(0, {}), (1, {"cascade_deleted": 1}), (3, {"cascade_deleted": 3})])
def test_a_removal_counts_the_descendants_that_were_removed_with_it(cascade, more):
    event = events.build_removal_event(workspace(status_since=SINCE), cascade)

    assert event == EventDraft(EventType.WORKSPACE_REMOVED, {**more, **STATUS_MEMBERS})


def test_expansion_collapse_and_a_replaced_card_have_events():
    children = [workspace(id="a", name="ann", role="cook"), workspace(id="b", name="bob")]

    assert events.build_expansion_event(children) == EventDraft(
        EventType.WORKSPACE_EXPANDED,
        {"children": [{"id": "a", "name": "ann", "role": "cook"}, {"id": "b", "name": "bob", "role": None}]},
    )
    assert events.build_collapse_event(("ann", "bob")) == EventDraft(
        EventType.WORKSPACE_COLLAPSED, {"removed_children": ["ann", "bob"]}
    )
    assert events.build_card_event({"name": "ada"}) == EventDraft(
        EventType.AGENT_CARD_UPDATED, {"agent_card": {"name": "ada"}}
    )


@pytest.mark.parametrize(("number", "text"), [(0.0, "0"), (-3.0, "-3"), (2.5, "2.5"), (1e12, "1000000000000")])
def test_a_whole_coordinate_is_written_without_a_fraction(number, text):
    payload = events.build_creation_event(workspace(x=number, y=number)).payload

    assert (json.dumps(payload["x"]), json.dumps(payload["y"])) == (text, text)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.booleans())))
def test_a_payload_is_rendered_as_compact_json_in_ascii(payload):
    text = events.render_payload(payload)

    assert json.loads(text) == payload
    assert text.isascii()
    assert "\n" not in text
    assert events.render_payload({"a": 1, "b": [1, 2]}) == '{"a":1,"b":[1,2]}'


# Pages ───────────────────────────────────────────────────────────────────────


def test_a_page_has_eight_mebibytes_and_a_range_has_no_upper_bound():
    assert events.MAX_EVENT_PAGE_BYTES == 8 * 1024 * 1024
    assert EventRange(3) == EventRange(after=3, through=0)


HALF = events.MAX_EVENT_PAGE_BYTES // 2


@pytest.mark.parametrize(
    ("payload_bytes", "count"),
    [
        ([], 0),
        ([1], 1),
        ([3 * HALF], 1),
        ([3 * HALF, 0], 1),
        ([HALF, HALF], 2),
        ([HALF, HALF + 1], 1),
        ([HALF, HALF, 0], 3),
        ([HALF, HALF, 1], 2),
        ([1, 1, 1], 3),
    ],
)
def test_a_page_has_the_first_events_that_fit_and_at_least_one(payload_bytes, count):
    found = [build_stored_event(size) for size in payload_bytes]

    assert events.take_page(found) == found[:count]


# Broadcasts ──────────────────────────────────────────────────────────────────


NOTICE = HeartbeatNotice(workspace_id="w", active_tasks=2, current_task="cook", uptime_seconds=9)
LATER = NOW + timedelta(seconds=1)
LIVENESS = Broadcast(
    type=BroadcastType.WORKSPACE_HEARTBEAT,
    workspace_id="w",
    payload={"active_tasks": 2, "uptime_seconds": 9},
    at=LATER,
)
TASK = Broadcast(
    type=BroadcastType.TASK_UPDATED,
    workspace_id="w",
    payload={"active_tasks": 2, "current_task": "cook"},
    at=LATER,
)


@pytest.mark.parametrize(("task_before", "broadcasts"), [("cook", (LIVENESS,)), ("", (TASK, LIVENESS))])
def test_a_heartbeat_is_broadcast_and_a_changed_task_before_it(task_before, broadcasts):
    assert events.build_heartbeat_broadcasts(task_before, NOTICE, LATER) == broadcasts
