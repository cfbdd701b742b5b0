"""Tests of what the answers of agents mean."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.delegations.answers import MAX_ERROR_LENGTH, MAX_TEXT_LENGTH, read_answer, read_cost
from services.a2a_proxy.delegations.model import Finished, Refused, Working

TEXTS = [{"kind": "data", "data": {}}, {"kind": "text", "text": "one"}, {"kind": "text", "text": "two"}]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["result", "error", "status", "state", "id", "parts", "text", "artifacts", "message", "usage"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def answer(result, **members):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result, **members}).encode()


def task(state, **members):
    return {"kind": "task", "id": "t-1", "status": {"state": state}, **members}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (answer({"kind": "message", "parts": TEXTS}), "one"),
        (answer({"message": {"role": "ROLE_AGENT", "parts": [{"text": "new"}]}}), "new"),
        (answer(task("completed", artifacts=[{"parts": []}, {"parts": TEXTS}])), "one"),
        (
            answer({"task": {"id": "t", "status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": [{"parts": TEXTS}]}}),
            "one",
        ),
        (
            answer({"kind": "task", "id": "t", "status": {"state": "input-required", "message": {"parts": TEXTS}}}),
            "one",
        ),
        (answer({"status": "ok"}), '{"status":"ok"}'),
        (answer("plain"), "plain"),
        (b'{"parts":[{"kind":"text","text":"of an inbox"}]}', "of an inbox"),
        (b'"text alone"', "text alone"),
        (b"[1, 2]", "[1,2]"),
        (b"not json \xff", "not json \ufffd"),
        (b"", ""),
        (None, ""),
    ],
)
def test_the_text_is_the_first_text_part_of_the_result_or_its_artifacts_else_the_body(body, text):
    assert read_answer(body) == Finished(text)


@pytest.mark.parametrize("state", ["submitted", "working", "TASK_STATE_WORKING"])
def test_a_task_that_goes_on_is_no_result(state):
    assert read_answer(answer(task(state))) == Working("t-1")


def test_a_task_that_goes_on_without_a_usable_id_is_a_result():
    for id_ in ("", "i" * 513, "t\0x", "\ud800", 7, None):
        assert isinstance(read_answer(answer(task("working") | {"id": id_})), Finished)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"code":-32000,"message":"no idea"}}', "no idea"),
        (b'{"error":{"code":-32000}}', "the agent answered with an error"),
        (b'{"error":"text"}', "text"),
        (answer(task("failed")), "the agent failed"),
        (answer({"kind": "task", "status": {"state": "failed", "message": {"parts": TEXTS}}}), "the agent failed: one"),
        (answer({"task": {"status": {"state": "TASK_STATE_REJECTED"}}}), "the agent rejected the task"),
        (answer(task("canceled")), "cancelled"),
    ],
)
def test_an_error_and_a_failed_task_are_errors(body, error):
    assert read_answer(body) == Refused(error)


def test_long_texts_are_cut_and_characters_that_cannot_be_stored_removed():
    long = read_answer(answer({"parts": [{"text": "x" * (MAX_TEXT_LENGTH + 1)}]}))
    assert long == Finished("x" * MAX_TEXT_LENGTH)
    assert read_answer(answer({"parts": [{"text": "a\0b"}]})) == Finished("ab")
    assert read_answer(json.dumps({"error": {"message": "y" * 1000}}).encode()) == Refused("y" * MAX_ERROR_LENGTH)


@pytest.mark.covers("BEY-09")
@pytest.mark.parametrize(
    ("members", "cost"),
    [
        ({"usage": {"input_tokens": 1_000_000, "output_tokens": 0}}, 300),
        ({"usage": {"output_tokens": 1_000_000}}, 1500),
        ({"usage": {"input_tokens": 1}}, 1),
        ({"usage": {"input_tokens": 10**12}}, 3000),
        ({"usage": {"input_tokens": -5}}, 0),
        ({"usage": {"input_tokens": "many"}}, None),
        ({"usage": {"input_tokens": True}}, None),
        ({"usage": []}, None),
        ({}, None),
    ],
)
def test_the_cost_follows_from_the_usage(members, cost):
    assert read_cost(json.loads(answer({}, **members))) == cost
    assert read_cost(json.loads(answer(members))) == cost


@given(JSON)
def test_no_answer_breaks_the_reader(value):
    reading = read_answer(json.dumps(value).encode())
    assert isinstance(reading, Finished | Refused | Working)
