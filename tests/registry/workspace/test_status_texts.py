"""The texts that explain a status, with the cause, the count and the age of a failure."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace.facts import (
    BootstrapFailed,
    InstanceExited,
    ProvisioningFailed,
    ProvisioningTimedOut,
    RestartRequested,
)
from services.registry.workspace.model import Reason, Status
from services.registry.workspace.state_machine import next_state
from services.registry.workspace.status_texts import MAX_CAUSE_CHARS, describe_exit, describe_failure
from tests.registry.strategies import NOW
from tests.registry.workspace.test_state_machine import workspace


def end(before, reference, code, at=NOW):
    return next_state(before, InstanceExited(at=at, generation=before.generation, reference=reference, exit_code=code))


@pytest.mark.covers("DWN-10")
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "killed by signal 9 (SIGKILL)"),
        (-250, "killed by signal 250"),
        (None, "how it ended is not known"),
    ],
)
def test_an_exit_is_described_by_its_code_or_its_signal(code, text):
    assert describe_exit(code) == text


@pytest.mark.covers("DWN-10")
def test_an_agent_that_keeps_ending_before_it_registers_shows_cause_count_and_age():
    starting = workspace(Status.PROVISIONING, status_reason=Reason.CREATED)
    for number in range(1, 6):
        starting = end(starting, f"run-{number}", 3, NOW + timedelta(seconds=number))

    assert (starting.status, starting.restart_count) == (Status.PROVISIONING, 5)
    assert (starting.last_exit_at, starting.last_exit_code) == (NOW + timedelta(seconds=5), 3)
    assert starting.status_detail.endswith("The agent ended 5 times, at last: exit code 3.")


@pytest.mark.covers("DWN-10")
def test_an_end_that_is_reported_twice_counts_once():
    once = end(workspace(Status.PROVISIONING), "run", 1)

    assert end(once, "run", 1) is once


@pytest.mark.covers("DWN-10")
@pytest.mark.parametrize("status", [Status.PAUSED, Status.HIBERNATED, Status.HIBERNATING, Status.FAILED])
def test_an_end_of_an_instance_that_is_not_wanted_counts_nothing(status):
    stopped = workspace(status)

    assert end(stopped, "run", 1) is stopped


@pytest.mark.covers("DWN-10")
@pytest.mark.parametrize("reason", [Reason.RESTART_REQUESTED, Reason.AUTO_RESTART])
def test_only_a_request_of_a_caller_ends_the_count(reason):
    lost = end(workspace(Status.ONLINE), "run", -9)
    request = RestartRequested(at=NOW, generation=lost.generation, reason=reason, limit=timedelta(minutes=1))
    again = next_state(lost, request)

    assert again.restart_count == (1 if reason is Reason.AUTO_RESTART else 0)
    assert ("SIGKILL" in again.status_detail) is (reason is Reason.AUTO_RESTART)
    assert again.last_exit_at == lost.last_exit_at


@pytest.mark.covers("DWN-10")
def test_a_start_that_timed_out_tells_how_often_the_agent_ended():
    crashed = replace(end(workspace(Status.PROVISIONING), "run", 1), provision_deadline=NOW)
    failed = next_state(crashed, ProvisioningTimedOut(at=NOW, generation=1))

    assert failed.status is Status.FAILED
    assert failed.status_detail == "The agent did not come up in time. The agent ended once, at last: exit code 1."


@pytest.mark.covers("DWN-10")
@pytest.mark.parametrize(
    ("fact", "end_of_text"),
    [
        (ProvisioningFailed(at=NOW, error="no image for runtime"), "Cause: no image for runtime"),
        (
            ProvisioningFailed(at=NOW, error="missing required environment", missing=("A", "B")),
            "Cause: missing required environment: A, B",
        ),
        (BootstrapFailed(at=NOW, error="pip failed"), "Cause: pip failed"),
    ],
)
def test_a_failed_start_tells_its_cause(fact, end_of_text):
    assert next_state(workspace(Status.PROVISIONING), fact).status_detail.endswith(end_of_text)


@pytest.mark.covers("DWN-10")
@given(st.text(max_size=2000))
def test_a_cause_is_bounded(error):
    bare = describe_failure(Reason.BOOTSTRAP_FAILED, "")

    assert len(describe_failure(Reason.BOOTSTRAP_FAILED, error)) <= len(bare) + len(" Cause: ") + MAX_CAUSE_CHARS
