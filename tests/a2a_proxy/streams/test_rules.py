import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.model import Dialect
from services.a2a_proxy.answered_tasks import AnsweredTask, find_task
from services.a2a_proxy.model import Answer, WorkspaceId
from services.a2a_proxy.streams import frames, rules, task_events
from services.a2a_proxy.streams.event_ids import build_stream_id, parse_event_id, render_event_id
from services.a2a_proxy.streams.model import Ending, EventId, RecordedStream
from services.a2a_proxy.streams.task_events import TaskProgress
from services.a2a_proxy.tasks.model import TaskOwner

TARGET = WorkspaceId(str(uuid4()))
IDS = st.uuids().map(lambda id_: WorkspaceId(str(id_)))


def recording(first_seq: int = 1, last_seq: int = 9, ending: Ending | None = None) -> RecordedStream:
    return RecordedStream(
        id=str(uuid4()),
        target_id=TARGET,
        owner=TaskOwner(),
        dialect=Dialect.LEGACY,
        request_id=b"1",
        first_seq=first_seq,
        last_seq=last_seq,
        ending=ending,
    )


def event(**result) -> bytes:
    return b"data: " + json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode() + b"\n\n"


def update(state: str, **members) -> bytes:
    return event(kind="status-update", taskId="t", contextId="c", status={"state": state}, **members)


@given(IDS, st.binary(min_size=12, max_size=12), st.integers(0, 10**15 - 1))
def test_an_id_of_the_plane_is_read_back(target, entropy, seq):
    stream_id = build_stream_id(target, entropy)

    assert parse_event_id(render_event_id(stream_id, seq), target) == EventId(stream_id, seq)


@given(IDS, IDS, st.binary(min_size=12, max_size=12))
def test_an_id_for_another_workspace_is_none_of_this_one(target, other, entropy):
    if target != other:
        assert parse_event_id(render_event_id(build_stream_id(other, entropy), 1), target) is None


@pytest.mark.parametrize("change", ["{}x", "x{}", "{} ", "{}0000000000000000", "{}\u0661"])
def test_an_id_in_another_form_is_none_of_the_plane(change):
    assert parse_event_id(change.format(render_event_id(build_stream_id(TARGET, bytes(12)), 1)), TARGET) is None


@pytest.mark.covers("BEY-02")
@pytest.mark.parametrize(
    ("stream", "seq", "is_kept"),
    [
        (recording(), 0, True),
        (recording(), 9, True),
        (recording(), 10, False),
        (recording(first_seq=5), 4, True),
        (recording(first_seq=5), 3, False),
        (recording(ending=Ending.INTERRUPTED), 3, True),
        (recording(ending=Ending.INCOMPLETE), 3, False),
    ],
)
def test_a_position_is_kept_if_all_later_events_are(stream, seq, is_kept):
    assert rules.is_kept(stream, seq) is is_kept


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error":{"code":-32601}}', True),
        (b'{"error":{"code":-32004}}', True),
        (b'data: {"error":{"code": -32001}}\n\n', True),
        (b'{"error":{"code":-32602}}', False),
        (b'{"error":"no"}', False),
        (b'{"result":{"error":{"code":-32601}}}', False),
        (b"{", False),
    ],
)
def test_an_agent_says_that_it_cannot_stream_by_three_errors(body, expected):
    assert rules.cannot_stream(Answer(status=200, body=body)) is expected


def test_an_event_answers_another_request_and_the_rest_of_it_stays():
    frame = b'id: s:1\nevent: x\ndata: {"id":7,"result":{"n":1.50}}\n\n'

    assert rules.replace_request_id(frame, b'"a"') == b'id: s:1\nevent: x\ndata: {"id":"a","result":{"n":1.50}}\n\n'


@pytest.mark.parametrize("frame", [b": ping\n\n", b"data: [1]\n\n", b"data: {\n\n", b'data: {"a":1}\n\n'])
def test_what_is_no_response_stays_as_it_is(frame):
    assert rules.replace_request_id(frame, b"1") == frame


@pytest.mark.parametrize("last", ["completed", "failed", "canceled", "rejected"])
def test_a_task_is_open_until_an_event_says_that_it_ended(last):
    progress = TaskProgress()
    assert not progress.is_open()

    assert progress.note(update("working"))
    assert progress.is_open()
    assert not progress.note(update("working"))
    assert progress.is_open()
    progress.note(update(last))
    assert not progress.is_open()


def test_a_large_last_status_counts_too():
    progress = TaskProgress()
    progress.note(update("working"))
    progress.note(update("completed", metadata={"x": "y" * task_events.MAX_KEPT_BYTES}))

    assert not progress.is_open()


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("context_id", ["c", None])
def test_a_lost_task_fails_in_the_dialect_of_its_caller(dialect, context_id):
    task = AnsweredTask("t", context_id)
    frame = task_events.build_failure(task, b"7", dialect, at=datetime(2026, 1, 1, tzinfo=UTC), message_id="m")

    found = find_task(frames.find_data(frame))
    assert found is not None
    assert (found.id, found.context_id, found.state) == ("t", context_id, "failed")
    assert (b'"statusUpdate"' in frame) is (dialect is Dialect.CURRENT)
    assert json.loads(frames.find_data(frame))["id"] == 7


def test_a_subscription_of_1_0_begins_with_the_task():
    shown = task_events.build_first_event(update("working"), b"7", Dialect.CURRENT)

    task = json.loads(frames.find_data(shown))["result"]["task"]
    assert (task["id"], task["contextId"], task["status"]["state"]) == ("t", "c", "TASK_STATE_WORKING")
    whole = event(task={"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}})
    assert task_events.build_first_event(whole, b"7", Dialect.CURRENT) == b""
    assert task_events.build_first_event(update("working"), b"7", Dialect.LEGACY) == b""
