import pytest
from hypothesis import given

from services.registry.workspace.facts import HeartbeatReceived, is_outdated
from tests.registry.strategies import NOW, TIMEOUTS, facts, workspaces
from tests.registry.workspace.test_state_machine import workspace


@given(workspaces, facts)
def test_a_fact_is_outdated_if_it_names_another_generation(some, fact):
    assert is_outdated(fact, some) == (fact.generation is not None and fact.generation != some.generation)


@pytest.mark.parametrize(("generation", "outdated"), [(None, False), (2, False), (1, True), (3, True), (0, True)])
def test_only_the_current_generation_and_no_generation_are_current(generation, outdated):
    assert is_outdated(HeartbeatReceived(at=NOW, generation=generation), workspace(generation=2)) is outdated


def test_the_timeout_of_a_workspace_depends_on_where_its_agent_runs():
    assert TIMEOUTS.get_timeout(workspace()) == TIMEOUTS.managed
    assert TIMEOUTS.get_timeout(workspace(runtime="external")) == TIMEOUTS.external


def test_a_heartbeat_reports_no_errors_and_no_work_by_default():
    assert HeartbeatReceived(at=NOW) == HeartbeatReceived(
        at=NOW,
        generation=None,
        error_rate=0.0,
        sample_error="",
        current_task="",
        active_tasks=0,
        uptime_seconds=0,
        monthly_spend=0,
        wedged=False,
        declarations=None,
        card=None,
    )
