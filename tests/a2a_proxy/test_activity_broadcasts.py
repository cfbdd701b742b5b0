import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy import activity_broadcasts, outcome
from services.a2a_proxy.model import Activity

NOW = datetime(2026, 1, 1, tzinfo=UTC)

ANSWERED = Activity(
    id="a",
    workspace_id="w",
    activity_type="a2a_receive",
    target_id="w",
    method="message/send",
    status="ok",
    duration_ms=7,
    request_body='{"id": 1,\r\n "text": "one\\ntwo"}',
    response_body='{"result":\n"ü"}',
    created_at=NOW,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def build_payloads(activity):
    return {
        one.event_type: json.loads(one.payload) for one in activity_broadcasts.build_activity_broadcasts(activity, NOW)
    }


@pytest.mark.covers("ACT-04")
def test_a_row_is_broadcast_with_its_bodies_unchanged():
    assert build_payloads(replace(ANSWERED, source_id="caller", tool_trace="[1]")) == {
        "ACTIVITY_LOGGED": {
            "activity_type": "a2a_receive",
            "method": "message/send",
            "source_id": "caller",
            "target_id": "w",
            "summary": None,
            "status": "ok",
            "duration_ms": 7,
            "request_body": {"id": 1, "text": "one\ntwo"},
            "response_body": {"result": "ü"},
            "tool_trace": [1],
        }
    }


@pytest.mark.covers("TOK-02")
def test_a_row_is_announced_without_the_texts_of_its_message_and_an_answer_not_at_all():
    row = replace(ANSWERED, summary="secret", tool_trace='["secret"]')
    logged, answered = activity_broadcasts.build_activity_broadcasts(row, NOW)

    assert json.loads(logged.announced_payload) == {
        "activity_type": "a2a_receive",
        "method": "message/send",
        "source_id": None,
        "target_id": "w",
        "summary": None,
        "status": "ok",
        "duration_ms": 7,
    }
    assert answered.announced_payload is None


@pytest.mark.covers("ACT-04")
def test_missing_bodies_are_left_out():
    payloads = build_payloads(replace(ANSWERED, request_body=None, response_body=None))

    assert not {"request_body", "response_body", "tool_trace"} & {*payloads["ACTIVITY_LOGGED"]}
    assert "A2A_RESPONSE" not in payloads


def test_an_answer_to_a_person_or_a_tool_has_a_broadcast_of_its_own():
    assert build_payloads(ANSWERED)["A2A_RESPONSE"] == {
        "method": "message/send",
        "duration_ms": 7,
        "response_body": {"result": "ü"},
    }


@pytest.mark.parametrize(
    "change",
    [{"source_id": "caller"}, {"status": "error"}, {"duration_ms": None}, {"activity_type": "task_update"}],
    ids=["to a workspace", "an error", "left to be fetched", "something else"],
)
def test_other_rows_have_no_answer_broadcast(change):
    assert set(build_payloads(replace(ANSWERED, **change))) == {"ACTIVITY_LOGGED"}


@given(values, st.sampled_from([None, 1]))
def test_a_payload_is_one_line_of_equivalent_json(value, indent):
    body = json.dumps(value, indent=indent, ensure_ascii=False)
    [logged, _] = activity_broadcasts.build_activity_broadcasts(replace(ANSWERED, request_body=body), NOW)

    assert b"\n" not in logged.payload
    assert b"\r" not in logged.payload
    assert json.loads(logged.payload)["request_body"] == value


def test_each_line_break_of_a_body_becomes_a_space():
    [logged, answered] = activity_broadcasts.build_activity_broadcasts(
        replace(ANSWERED, request_body='{\r\n"id":\n1}', response_body="[\r1\r]"), NOW
    )

    assert logged.payload.endswith(b',"request_body":{  "id": 1},"response_body":[ 1 ]}')
    assert answered.payload == b'{"method":"message/send","duration_ms":7,"response_body":[ 1 ]}'


def test_every_broadcast_names_the_workspace_and_the_time():
    broadcasts = activity_broadcasts.build_activity_broadcasts(ANSWERED, NOW)

    assert [(one.event_type, one.workspace_id, one.at) for one in broadcasts] == [
        ("ACTIVITY_LOGGED", "w", NOW),
        ("A2A_RESPONSE", "w", NOW),
    ]


def test_payloads_are_compact():
    [_, answer] = activity_broadcasts.build_activity_broadcasts(replace(ANSWERED, response_body="1"), NOW)

    assert answer.payload == b'{"method":"message/send","duration_ms":7,"response_body":1}'


@pytest.mark.covers("ACT-05")
def test_no_body_is_left_out_or_cut_however_large():
    large = "x" * (10 * 1024 * 1024)
    row = replace(ANSWERED, request_body=json.dumps(large), response_body=json.dumps(large), tool_trace="1")
    payloads = build_payloads(row)

    assert payloads["ACTIVITY_LOGGED"]["request_body"] == payloads["ACTIVITY_LOGGED"]["response_body"] == large
    assert payloads["ACTIVITY_LOGGED"]["tool_trace"] == 1
    assert payloads["A2A_RESPONSE"]["response_body"] == large


@pytest.mark.parametrize("body", [b"NaN", b'{"a": Infinity}', b"-Infinity"])
def test_what_python_reads_and_json_does_not_is_no_json(body):
    assert outcome.decode_json(body) is None
