import json
from datetime import UTC, datetime

import pytest
from a2a.types import Task
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.model import Dialect
from services.a2a_proxy.model import Answer
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import Delivered, MessageState, Result
from services.a2a_proxy.tasks import events, views
from tests.a2a_proxy.queue.queue_factory import NOON, leased_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)

MEMBERS = st.sampled_from(
    ["kind", "id", "taskId", "contextId", "status", "message", "parts", "task", "error", "result"]
)

KINDS = st.sampled_from(["task", "message", "status-update", "artifact-update"])

ANSWERS = st.dictionaries(MEMBERS, st.dictionaries(MEMBERS, JSON | KINDS, max_size=4) | JSON | KINDS, max_size=5)


def complete(answer: object, *, result: Result = Result.OK, status: int = 200):
    body = json.dumps(answer).encode()
    delivered = Delivered(Answer(status=status, body=body), result)
    return rules.settle(leased_message(), delivered, repeatable=False, now=NOON, jitter=0)


def parse(task: dict) -> Task:
    """Parse a task of 1.0 with the official types, which refuse what is malformed."""
    return ParseDict(task, Task(), ignore_unknown_fields=True)


@given(ANSWERS, st.sampled_from(Result))
def test_any_answer_becomes_a_task_with_an_id_a_context_and_a_state(answer, result):
    message = complete({"jsonrpc": "2.0", "id": 1, **answer}, result=result)

    for dialect in Dialect:
        task = views.build_task(message, dialect)
        assert task["id"] == message.id
        assert task["contextId"]
        assert task["status"]["state"]
        for event in (events.build_beginning(task, dialect), *events.build_end(task, dialect)):
            assert events.render_event(b"1", event).startswith(b"data: {")


@pytest.mark.parametrize("state", MessageState)
def test_every_state_of_a_message_is_a_state_of_a_task_that_the_official_types_accept(state):
    message = leased_message(state=state, ended_at=NOON)

    task = views.build_task(message, Dialect.CURRENT)

    assert parse(task).status.timestamp.ToDatetime(UTC) == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert views.build_task(message, Dialect.LEGACY)["status"]["state"] == views.STATES[state]


@pytest.mark.parametrize(
    ("result", "parts"),
    [
        ("plain", [{"kind": "text", "text": "plain"}]),
        ({"answer": 42}, [{"kind": "data", "data": {"answer": 42}}]),
        ([1], [{"kind": "data", "data": {"value": [1]}}]),
        ({"message": {"messageId": "m", "parts": [{"text": "new"}]}}, [{"kind": "text", "text": "new"}]),
        ({"kind": "message", "parts": [{"kind": "text", "text": "old"}]}, [{"kind": "text", "text": "old"}]),
        ({"id": "no task", "status": "fine"}, [{"kind": "data", "data": {"id": "no task", "status": "fine"}}]),
    ],
)
def test_an_answer_that_is_no_task_is_shown_as_the_message_and_the_artifact_of_one(result, parts):
    task = views.build_task(complete({"result": result}), Dialect.LEGACY)

    assert task["status"]["state"] == "completed"
    assert task["artifacts"][0]["parts"] == task["status"]["message"]["parts"] == parts
    assert task["status"]["message"]["taskId"] == task["id"]
    assert len(parse(views.build_task(complete({"result": result}), Dialect.CURRENT)).artifacts[0].parts) == 1


def test_the_last_event_of_a_stream_is_shown_as_the_task():
    status = {
        "state": "failed",
        "message": {"messageId": "m", "role": "agent", "parts": [{"kind": "text", "text": "no"}]},
    }
    old = complete({"result": {"kind": "status-update", "taskId": "t", "status": status, "final": True}})
    new = complete({"result": {"artifactUpdate": {"taskId": "t", "artifact": {"artifactId": "a", "parts": []}}}})

    assert views.build_task(old, Dialect.CURRENT)["status"]["state"] == "TASK_STATE_FAILED"
    assert old.answer_state == "failed"
    assert views.build_task(old, Dialect.CURRENT, keeps_agent_id=True)["id"] == "t"
    assert views.build_task(new, Dialect.LEGACY)["artifacts"] == [{"artifactId": "a", "parts": []}]


@pytest.mark.parametrize(
    ("answer", "text"),
    [({"error": {"code": -1, "message": "no model"}}, "no model"), ({"error": "gone"}, "gone"), ([], views.NO_ANSWER)],
)
def test_an_error_of_the_agent_is_a_failed_task_with_its_text(answer, text):
    task = views.build_task(complete(answer, result=Result.ERROR), Dialect.LEGACY)

    assert (task["status"]["state"], task["status"]["message"]["parts"][0]["text"]) == ("failed", text)


def test_a_message_without_an_answer_is_completed_or_failed_as_it_ended():
    done = rules.acknowledge(leased_message(), None, result=Result.OK, now=NOON)
    failed = rules.settle(
        leased_message(), Delivered(None, Result.ERROR, "unreadable"), repeatable=False, now=NOON, jitter=0
    )

    assert views.build_task(done, Dialect.LEGACY)["status"] == {
        "state": "completed",
        "timestamp": "2026-01-01T12:00:00.000Z",
    }
    shown = views.build_task(failed, Dialect.LEGACY)["status"]
    assert (shown["state"], shown["message"]["parts"][0]["text"]) == ("failed", "unreadable")


def test_an_answered_task_keeps_its_own_id_where_the_agent_can_be_asked_for_it():
    message = complete({"result": {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}})

    assert views.build_task(message, Dialect.CURRENT, keeps_agent_id=True)["id"] == "t"
    assert views.build_task(message, Dialect.CURRENT)["id"] == message.id
    assert views.build_task(message, Dialect.CURRENT, id_="asked")["id"] == "asked"


def test_the_context_is_that_of_the_message_or_always_the_same_one():
    named, unnamed = leased_message(context_id="c"), leased_message()

    assert views.build_task(named, Dialect.LEGACY)["contextId"] == "c"
    own = views.build_task(unnamed, Dialect.LEGACY)["contextId"]
    assert own == views.choose_context_id(unnamed.id, None) != views.choose_context_id(named.id, None)


@given(st.integers(0, 5), st.sampled_from(Dialect))
def test_the_history_keeps_its_last_messages(length, dialect):
    task = {"history": [1, 2, 3]}

    kept = views.limit_history(task, length, dialect).get("history", [])

    assert kept == ([1, 2, 3] if length == 0 and dialect is Dialect.LEGACY else [1, 2, 3][max(3 - length, 0) :])
    for nothing in (None, True, -1, "2"):
        assert views.limit_history(task, nothing, dialect) == task
