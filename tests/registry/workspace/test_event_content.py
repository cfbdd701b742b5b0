import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace.event_content import CONTENT_KEYS, remove_broadcast_content, remove_content
from services.registry.workspace.events import Broadcast, BroadcastType, Event, EventType, render_payload

KEYS = ["log_tail", "error", "status", "name"]

payloads = st.dictionaries(st.sampled_from(KEYS), st.text(max_size=5))


def build_event(event_type, payload):
    return Event(
        id="e",
        event_id=1,
        type=event_type,
        workspace_id="w",
        payload=render_payload(payload),
        created_at=datetime.now(UTC),
    )


@pytest.mark.covers("TOK-02")
@given(st.sampled_from(EventType), payloads)
def test_an_announcement_keeps_every_key_but_those_of_content(event_type, payload):
    event = build_event(event_type, payload)
    announced = remove_content(event)
    hidden = CONTENT_KEYS.get(event_type, frozenset())

    assert json.loads(announced.payload) == {key: payload[key] for key in payload if key not in hidden}
    assert (announced is event) == (not hidden & payload.keys())


def test_the_log_of_a_failed_start_is_content():
    event = build_event(EventType.WORKSPACE_PROVISION_FAILED, {"error": "no", "log_tail": "secret"})

    assert json.loads(remove_content(event).payload) == {"error": "no"}


@pytest.mark.covers("TOK-02")
def test_the_current_task_is_content_because_it_is_the_text_of_a_message():
    payload, now = {"active_tasks": 1, "current_task": "secret"}, datetime.now(UTC)
    task = Broadcast(type=BroadcastType.TASK_UPDATED, workspace_id="w", payload=payload, at=now)
    heartbeat = Broadcast(type=BroadcastType.WORKSPACE_HEARTBEAT, workspace_id="w", payload={"active_tasks": 1}, at=now)

    assert remove_broadcast_content(task).payload == {"active_tasks": 1}
    assert remove_broadcast_content(heartbeat) is heartbeat
