"""The state of a task in both generations of A2A."""

import pytest

from services.a2a_proxy.task_states import FAILED_STATES, WORKING_STATES, read_state


@pytest.mark.parametrize(
    ("written", "state"),
    [("working", "working"), ("TASK_STATE_WORKING", "working"), ("TASK_STATE_INPUT_REQUIRED", "input_required")],
)
def test_a_state_reads_the_same_in_both_generations(written, state):
    assert read_state({"status": {"state": written}}) == state


@pytest.mark.parametrize("task", [None, "working", {}, {"status": "working"}, {"status": {"state": 3}}])
def test_what_is_no_task_has_no_state(task):
    assert read_state(task) == ""


def test_a_state_is_at_most_one_of_working_and_failed():
    assert {"submitted", "working"} == WORKING_STATES
    assert set(FAILED_STATES) == {"failed", "rejected", "canceled"}
