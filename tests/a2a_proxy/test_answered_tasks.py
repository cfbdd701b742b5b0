import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.answered_tasks import AnsweredTask, find_context, find_task

STATUS = {"state": "working"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)

MEMBERS = st.sampled_from(
    ["kind", "id", "taskId", "contextId", "status", "state", "task", "message", "statusUpdate", "artifactUpdate"]
)


def respond(result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


@pytest.mark.parametrize(
    ("result", "task"),
    [
        ({"kind": "task", "id": "t", "contextId": "c", "status": STATUS}, AnsweredTask("t", "c", "working", True)),
        ({"id": "t", "status": STATUS}, AnsweredTask("t", None, "working", True)),
        ({"task": {"id": "t", "contextId": "c", "status": STATUS}}, AnsweredTask("t", "c", "working", True)),
        ({"task": {"id": "t", "status": {"state": "TASK_STATE_REJECTED"}}}, AnsweredTask("t", None, "rejected", True)),
        ({"kind": "task", "id": "t", "status": {"state": "odd"}}, AnsweredTask("t", None, "unknown", True)),
        ({"kind": "status-update", "taskId": "t", "status": STATUS}, AnsweredTask("t", None, "working")),
        ({"kind": "artifact-update", "taskId": "t", "artifact": {}}, AnsweredTask("t")),
        ({"taskId": "t", "status": STATUS, "final": True}, AnsweredTask("t", None, "working")),
        ({"statusUpdate": {"taskId": "t", "contextId": "c", "status": STATUS}}, AnsweredTask("t", "c", "working")),
        ({"artifactUpdate": {"taskId": "t"}}, AnsweredTask("t")),
        ({"kind": "message", "messageId": "m", "taskId": "t", "parts": []}, AnsweredTask("t")),
        ({"message": {"messageId": "m", "taskId": "t", "parts": []}}, AnsweredTask("t")),
        ({"kind": "message", "messageId": "m", "id": "t", "parts": [{"status": {}}]}, None),
        ({"kind": "task", "id": 7, "status": STATUS}, None),
        ({"kind": "task", "id": "", "status": STATUS}, None),
        ({"kind": "task", "id": "x" * 1001, "status": STATUS}, None),
        ({"kind": "task", "id": "a\0", "status": STATUS}, None),
        ({"kind": "task", "id": "t", "contextId": ["c"], "status": "s"}, AnsweredTask("t", None, None, True)),
        ({"task": {"id": "t", "context_id": "c", "status": STATUS}}, AnsweredTask("t", "c", "working", True)),
        ({"status_update": {"task_id": "t", "context_id": "c", "status": STATUS}}, AnsweredTask("t", "c", "working")),
        ({"artifact_update": {"task_id": "t", "artifact": {}}}, AnsweredTask("t")),
        ({"message": {"message_id": "m", "task_id": "t", "parts": []}}, AnsweredTask("t")),
        ("status", None),
        ([{"status": {}}], None),
        (None, None),
    ],
)  # fmt: skip
def test_the_task_of_an_answer_is_found_in_both_generations(result, task):
    assert find_task(respond(result)) == task


def test_a_name_that_is_written_with_escapes_hides_no_task():
    escaped = respond({"kind": "task", "id": "t", "status": STATUS}).replace(b'"status"', rb'"statu\u0073"')

    assert find_task(escaped) == AnsweredTask("t", None, "working", True)


@pytest.mark.parametrize(
    ("result", "context_id"),
    [
        ({"kind": "message", "messageId": "m", "contextId": "c", "parts": []}, "c"),
        ({"message": {"messageId": "m", "contextId": "c", "parts": []}}, "c"),
        ({"message": {"message_id": "m", "context_id": "c", "parts": []}}, "c"),
        ({"kind": "task", "id": "t", "contextId": "c", "status": STATUS}, "c"),
        ({"kind": "message", "messageId": "m", "contextId": "x" * 1001}, None),
        ({"kind": "message", "parts": [{"contextId": "c"}]}, None),
        ("contextId", None),
    ],
)
def test_the_context_of_an_answer_is_found_in_both_generations(result, context_id):
    assert find_context(respond(result)) == context_id


@pytest.mark.parametrize(
    "body", [b"", b'no JSON "status"', b'{"error":{"data":{"status":1}}}', b'["status"]', b'"status"']
)
def test_what_is_no_result_has_no_task(body):
    assert find_task(body) is None


def test_an_answer_that_is_nested_too_deeply_has_no_task():
    assert find_task(b'{"result":{"status":' + b"[" * 100_000) is None


@given(st.dictionaries(MEMBERS, st.dictionaries(MEMBERS, st.dictionaries(MEMBERS, JSON) | JSON) | JSON))
def test_any_answer_is_read_and_what_is_found_can_be_stored(result):
    task = find_task(respond(result))

    if task is not None:
        assert 0 < len(task.id) <= 1000
        assert "\0" not in task.id + (task.context_id or "")
