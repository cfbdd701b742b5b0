"""The decisions of the reconciler."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.provisioner import plan
from services.provisioner.model import (
    Condition,
    DesiredInstance,
    DesiredState,
    Instance,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    Phase,
    WorkspaceId,
)
from services.provisioner.plan import Step

ID = WorkspaceId("5f0c2c1e-3c55-4b3a-9d43-9f7a3d1f0001")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

EXITED = Instance(workspace_id=ID, generation=1, phase=Phase.EXITED, address="http://there", reference="r1")
RUNNING = replace(EXITED, phase=Phase.RUNNING)
SAME_GENERATION = DesiredInstance(workspace_id=ID, generation=1, state=DesiredState.RUNNING)
NEXT_GENERATION = replace(SAME_GENERATION, generation=2, is_automatic_restart=True)

desired_instances = st.builds(
    DesiredInstance,
    workspace_id=st.just(ID),
    generation=st.integers(1, 4),
    state=st.sampled_from(DesiredState),
    adapter_module=st.just("some.adapter"),
    external=st.just(False),
    reference=st.sampled_from(["", "r1", "r2"]),
)
instances = st.none() | st.builds(
    Instance,
    workspace_id=st.just(ID),
    generation=st.integers(1, 4),
    phase=st.sampled_from(Phase),
    address=st.just("http://there"),
    reference=st.sampled_from(["r1", "r2"]),
    exit_code=st.none() | st.integers(0, 255),
)


def apply_step(step: Step, desired: DesiredInstance, instance: Instance | None) -> Instance | None:
    """Return the instance of a correct backend after one step."""
    match step:
        case Step.NOTHING:
            return instance
        case Step.START:
            return Instance(
                workspace_id=ID,
                generation=desired.generation,
                phase=Phase.RUNNING,
                address="http://there",
                reference="r3",
            )
        case Step.STOP:
            return instance and replace(instance, phase=Phase.EXITED)
        case Step.FORGET:
            return None


def run_steps(desired: DesiredInstance, instance: Instance | None) -> tuple[Instance | None, list[Step]]:
    steps = []
    while (step := plan.choose_step(desired, instance)) is not Step.NOTHING:
        steps.append(step)
        assert len(steps) < 5, steps
        instance = apply_step(step, desired, instance)
    return instance, steps


@given(desired_instances, instances)
def test_two_steps_reach_the_desired_state_from_any_state(desired, instance):
    last, steps = run_steps(desired, instance)

    assert len(steps) <= 2
    match desired.state:
        case DesiredState.RUNNING:
            assert last is not None
            assert (last.phase, last.generation) == (Phase.RUNNING, desired.generation)
        case DesiredState.STOPPED:
            assert last is None or last.phase is Phase.EXITED
        case DesiredState.FORGOTTEN:
            assert last is None
        case DesiredState.UNTOUCHED:
            assert last is instance


@given(desired_instances, instances)
def test_reached_state_needs_no_step(desired, instance):
    last, _ = run_steps(desired, instance)

    assert plan.choose_step(desired, last) is Step.NOTHING


@given(instances)
def test_running_instance_is_stopped_before_it_is_forgotten(instance):
    desired = DesiredInstance(workspace_id=ID, generation=1, state=DesiredState.FORGOTTEN)

    if instance and instance.phase is Phase.RUNNING:
        assert plan.choose_step(desired, instance) is Step.STOP


@pytest.mark.covers("PROV-33")
@given(st.integers(1, 20))
def test_restarts_requested_during_a_start_cause_one_more_start(requested):
    """The next step sees only the newest generation."""
    desired = DesiredInstance(workspace_id=ID, generation=2, state=DesiredState.RUNNING)
    running = apply_step(Step.START, replace(desired, generation=1), None)
    starts = 0

    first = apply_step(plan.choose_step(desired, running), desired, running)
    starts += 1
    desired = replace(desired, generation=desired.generation + requested)
    _, more = run_steps(desired, first)

    assert starts + len(more) == 2


@pytest.mark.covers("PROV-33")
@given(st.integers(1, 20))
def test_restarts_requested_one_after_the_other_cause_a_start_each(requested):
    desired = DesiredInstance(workspace_id=ID, generation=1, state=DesiredState.RUNNING)
    instance, _ = run_steps(desired, None)
    starts = 0

    for _ in range(requested):
        desired = replace(desired, generation=desired.generation + 1)
        instance, steps = run_steps(desired, instance)
        starts += len(steps)

    assert starts == requested


@given(desired_instances, instances)
def test_known_start_is_not_reported_again(desired, instance):
    fact = plan.choose_fact(desired, instance)

    if isinstance(fact, InstanceStarted):
        assert plan.choose_fact(replace(desired, reference=fact.reference), instance) is None


@given(desired_instances, instances)
def test_fact_carries_the_desired_generation(desired, instance):
    fact = plan.choose_fact(desired, instance)

    assert fact is None or fact.generation == desired.generation


@given(instances)
def test_untouched_workspace_needs_no_fact_and_no_step(instance):
    desired = DesiredInstance(workspace_id=ID, generation=1, state=DesiredState.UNTOUCHED)

    assert plan.choose_fact(desired, instance) is None
    assert plan.choose_fact_without_instances(desired) is None
    assert plan.choose_step(desired, instance) is Step.NOTHING


@given(instance=instances)
def test_stopped_is_reported_exactly_when_nothing_runs(instance):
    desired = DesiredInstance(workspace_id=ID, generation=3, state=DesiredState.STOPPED)
    runs = instance is not None and instance.phase is Phase.RUNNING

    assert plan.choose_fact(desired, instance) == (None if runs else InstanceStopped(3))


@given(instance=instances)
def test_removal_is_reported_exactly_when_nothing_is_left(instance):
    desired = DesiredInstance(workspace_id=ID, generation=3, state=DesiredState.FORGOTTEN)

    assert plan.choose_fact(desired, instance) == (InstanceStopped(3) if instance is None else None)


@pytest.mark.parametrize("state", [DesiredState.STOPPED, DesiredState.FORGOTTEN])
def test_instance_of_a_workspace_that_became_external_is_stopped(state):
    desired = DesiredInstance(workspace_id=ID, generation=1, state=state, external=True)

    assert plan.choose_fact(desired, EXITED) == InstanceStopped(1)
    assert plan.choose_step(desired, RUNNING) is Step.STOP


@pytest.mark.parametrize("state", [DesiredState.STOPPED, DesiredState.FORGOTTEN])
def test_stop_of_an_external_agent_is_not_reported(state):
    desired = DesiredInstance(workspace_id=ID, generation=1, state=state, external=True)

    assert plan.choose_fact(desired, None) is None
    assert plan.choose_fact_without_instances(desired) is None


def test_exit_is_reported_although_the_start_was_known():
    desired = DesiredInstance(workspace_id=ID, generation=1, state=DesiredState.RUNNING, reference="r1")
    ended = Instance(
        workspace_id=ID, generation=1, phase=Phase.EXITED, address="http://there", reference="r1", exit_code=9
    )

    assert plan.choose_fact(desired, ended) == InstanceExited(generation=1, reference="r1", exit_code=9)


def test_backend_without_instances_reports_skipped_or_stopped():
    desired = DesiredInstance(workspace_id=ID, generation=2, state=DesiredState.RUNNING)

    assert plan.choose_fact_without_instances(desired) == InstanceSkipped(2)
    assert plan.choose_fact_without_instances(replace(desired, state=DesiredState.STOPPED)) == InstanceStopped(2)


def compute_delay(desired: DesiredInstance, starts: list[datetime], now: datetime) -> float:
    return max(0.0, (plan.compute_earliest_start(desired, EXITED, starts, now) - now).total_seconds())


def test_first_automatic_restart_has_no_delay():
    assert compute_delay(NEXT_GENERATION, [NOW], NOW) == 0


def test_restart_in_the_same_generation_waits_for_the_settle_time():
    assert compute_delay(SAME_GENERATION, [NOW], NOW + timedelta(seconds=3)) == plan.SETTLE_TIME.total_seconds()


def test_restart_delay_doubles_up_to_the_maximum():
    delays, starts, now = [], [NOW], NOW
    for _ in range(10):
        delays.append(compute_delay(NEXT_GENERATION, starts, now))
        now += timedelta(seconds=delays[-1])
        starts.append(now)

    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_starts_before_the_crash_loop_window_are_ignored():
    starts = [NOW + timedelta(seconds=n) for n in range(8)]

    assert (
        compute_delay(NEXT_GENERATION, [*starts, NOW + timedelta(minutes=11)], NOW + timedelta(minutes=11, seconds=1))
        == 0
    )


def test_requested_restart_has_no_delay():
    starts = [NOW + timedelta(seconds=n) for n in range(8)]

    assert compute_delay(replace(NEXT_GENERATION, is_automatic_restart=False), starts, starts[-1]) == 0
    assert compute_delay(NEXT_GENERATION, starts, starts[-1]) == 60


def test_replacement_of_a_running_instance_has_no_delay():
    starts = [NOW + timedelta(seconds=n) for n in range(8)]

    assert plan.compute_earliest_start(NEXT_GENERATION, RUNNING, starts, NOW) == plan.EARLIEST_TIME


@given(st.lists(st.integers(0, 10_000), max_size=30), st.integers(0, 2_000))
def test_restart_delay_never_exceeds_the_maximum(offsets, later):
    starts = sorted(NOW + timedelta(seconds=offset) for offset in offsets)
    now = (starts[-1] if starts else NOW) + timedelta(seconds=later)

    assert (
        0
        <= compute_delay(NEXT_GENERATION, starts, now)
        <= compute_delay(SAME_GENERATION, starts, now)
        <= plan.RESTART_BACKOFF.maximum.total_seconds()
    )


@given(st.integers(1, 10_000))
def test_retry_delay_grows_with_failures_up_to_the_maximum(failures):
    delay = plan.RETRY_BACKOFF.delay(failures)

    assert plan.RETRY_BACKOFF.first <= delay <= plan.RETRY_BACKOFF.delay(failures + 1) <= plan.RETRY_BACKOFF.maximum


@pytest.mark.covers("PROV-40")
@pytest.mark.parametrize(
    ("phase", "generation", "found"),
    [
        (Phase.RUNNING, 2, Condition.ALIVE),
        (Phase.EXITED, 2, Condition.GONE),
        (Phase.RUNNING, 3, Condition.UNKNOWN),
        (Phase.EXITED, 1, Condition.UNKNOWN),
    ],
)
def test_condition_is_known_for_the_given_generation_only(phase, generation, found):
    instance = Instance(
        workspace_id=ID, generation=generation, phase=phase, address="http://there", reference="r1", exit_code=None
    )

    assert plan.assess_condition(None, instance, 2) is found


@pytest.mark.covers("PROV-40")
def test_missing_instance_is_gone_only_if_its_start_is_known():
    known = DesiredInstance(workspace_id=ID, generation=1, state=DesiredState.RUNNING, reference="r1")

    assert plan.assess_condition(None, None, 1) is Condition.UNKNOWN
    assert plan.assess_condition(replace(known, reference=""), None, 1) is Condition.UNKNOWN
    assert plan.assess_condition(replace(known, generation=2), None, 1) is Condition.UNKNOWN
    assert plan.assess_condition(known, None, 1) is Condition.GONE


def test_missing_instance_is_reported_as_exited_if_its_start_is_known():
    known = DesiredInstance(workspace_id=ID, generation=1, state=DesiredState.RUNNING, reference="r1")

    assert plan.choose_fact(known, None) == InstanceExited(generation=1, reference="r1", exit_code=None)
    assert plan.choose_fact(replace(known, reference=""), None) is None


# Exact values and boundaries ─────────────────────────────────────────────────


def test_delays_and_limits_have_their_documented_values():
    assert timedelta(milliseconds=250) == plan.SETTLE_TIME
    assert timedelta(minutes=10) == plan.CRASH_LOOP_WINDOW
    assert timedelta(minutes=1) == plan.RESTART_BACKOFF.maximum
    assert timedelta(seconds=1) == plan.RESTART_BACKOFF.first
    assert timedelta(milliseconds=250) == plan.RETRY_BACKOFF.first
    assert timedelta(seconds=15) == plan.RETRY_BACKOFF.maximum
    assert (timedelta(seconds=5), timedelta(minutes=1)) == (plan.CHECK_BACKOFF.first, plan.CHECK_BACKOFF.maximum)
    assert timedelta(minutes=1) == plan.FAILED_START_BACKOFF.first
    assert timedelta(minutes=15) == plan.FAILED_START_BACKOFF.maximum


def test_number_of_remembered_starts_is_enough_for_the_longest_delay():
    """After eight starts the delay is at its maximum, so the ones before them make no difference."""
    starts = [NOW + timedelta(seconds=n) for n in range(plan.MAX_REMEMBERED_STARTS)]

    assert plan.MAX_REMEMBERED_STARTS == 12
    assert compute_delay(NEXT_GENERATION, starts, starts[-1]) == 60


def test_earliest_time_is_before_every_other_time():
    assert datetime.min.replace(tzinfo=UTC) == plan.EARLIEST_TIME


@pytest.mark.parametrize(
    ("state", "phase", "generation", "step"),
    [
        (DesiredState.RUNNING, None, None, Step.START),
        (DesiredState.RUNNING, Phase.RUNNING, 2, Step.NOTHING),
        (DesiredState.RUNNING, Phase.RUNNING, 1, Step.START),
        (DesiredState.RUNNING, Phase.RUNNING, 3, Step.START),
        (DesiredState.RUNNING, Phase.EXITED, 2, Step.START),
        (DesiredState.STOPPED, None, None, Step.NOTHING),
        (DesiredState.STOPPED, Phase.RUNNING, 1, Step.STOP),
        (DesiredState.STOPPED, Phase.EXITED, 2, Step.NOTHING),
        (DesiredState.FORGOTTEN, None, None, Step.NOTHING),
        (DesiredState.FORGOTTEN, Phase.RUNNING, 1, Step.STOP),
        (DesiredState.FORGOTTEN, Phase.EXITED, 2, Step.FORGET),
        (DesiredState.UNTOUCHED, None, None, Step.NOTHING),
        (DesiredState.UNTOUCHED, Phase.RUNNING, 2, Step.NOTHING),
        (DesiredState.UNTOUCHED, Phase.EXITED, 1, Step.NOTHING),
    ],
)
def test_each_combination_of_desired_and_actual_state_has_its_step(state, phase, generation, step):
    desired = DesiredInstance(workspace_id=ID, generation=2, state=state)
    instance = phase and replace(EXITED, phase=phase, generation=generation)

    assert plan.choose_step(desired, instance) is step
    checked = Step.CHECK if state is DesiredState.UNTOUCHED else step
    assert plan.choose_step(replace(desired, has_failed_start=True), instance) is checked


@pytest.mark.parametrize(
    ("reference", "instance", "fact"),
    [
        ("", None, None),
        ("r1", None, InstanceExited(generation=1, reference="r1", exit_code=None)),
        ("", RUNNING, InstanceStarted(generation=1, address="http://there", reference="r1")),
        ("r2", RUNNING, InstanceStarted(generation=1, address="http://there", reference="r1")),
        ("r1", RUNNING, None),
        ("", replace(RUNNING, generation=2), None),
        ("r1", replace(RUNNING, generation=2), None),
        ("", replace(EXITED, generation=2), None),
        ("", replace(EXITED, exit_code=0), InstanceExited(generation=1, reference="r1", exit_code=0)),
        ("r2", replace(EXITED, exit_code=7), InstanceExited(generation=1, reference="r1", exit_code=7)),
    ],
)
def test_each_difference_to_the_known_reference_has_its_fact(reference, instance, fact):
    desired = replace(SAME_GENERATION, reference=reference)

    assert plan.choose_fact(desired, instance) == fact


@pytest.mark.parametrize("state", [DesiredState.STOPPED, DesiredState.FORGOTTEN])
@pytest.mark.parametrize(
    ("external", "instance", "fact"),
    [
        (False, None, InstanceStopped(1)),
        (False, RUNNING, None),
        (True, None, None),
        (True, EXITED, InstanceStopped(1)),
        (True, RUNNING, None),
    ],
)
def test_stopped_is_reported_of_external_workspaces_only_if_there_was_an_instance(state, external, instance, fact):
    desired = DesiredInstance(workspace_id=ID, generation=1, state=state, external=external)

    assert plan.choose_fact(desired, instance) == fact


@pytest.mark.parametrize(
    ("state", "external", "fact"),
    [
        (DesiredState.RUNNING, False, InstanceSkipped(2)),
        (DesiredState.RUNNING, True, InstanceSkipped(2)),
        (DesiredState.STOPPED, False, InstanceStopped(2)),
        (DesiredState.STOPPED, True, None),
        (DesiredState.FORGOTTEN, False, InstanceStopped(2)),
        (DesiredState.FORGOTTEN, True, None),
        (DesiredState.UNTOUCHED, False, None),
    ],
)
def test_each_state_has_its_fact_without_instances(state, external, fact):
    desired = DesiredInstance(workspace_id=ID, generation=2, state=state, external=external)

    assert plan.choose_fact_without_instances(desired) == fact


@pytest.mark.parametrize(
    ("generation", "is_automatic_restart", "is_requested"),
    [(1, False, False), (1, True, False), (2, False, True), (2, True, False)],
)
def test_restart_is_requested_if_the_generation_was_raised_without_an_exit(
    generation, is_automatic_restart, is_requested
):
    desired = replace(SAME_GENERATION, generation=generation, is_automatic_restart=is_automatic_restart)

    assert plan.is_requested_restart(desired, EXITED) is is_requested


def test_missing_instance_is_started_without_a_delay():
    starts = [NOW + timedelta(seconds=n) for n in range(8)]

    assert plan.compute_earliest_start(NEXT_GENERATION, None, starts, NOW) == plan.EARLIEST_TIME


def test_settle_time_counts_from_the_end_and_in_the_same_generation_only():
    ended_at = NOW + timedelta(seconds=5)

    assert plan.compute_earliest_start(SAME_GENERATION, EXITED, [NOW], ended_at) == ended_at + plan.SETTLE_TIME
    assert plan.compute_earliest_start(NEXT_GENERATION, EXITED, [NOW], ended_at) == plan.EARLIEST_TIME
    assert plan.compute_earliest_start(SAME_GENERATION, EXITED, [NOW], None) == plan.EARLIEST_TIME
    assert plan.compute_earliest_start(SAME_GENERATION, EXITED, [], None) == plan.EARLIEST_TIME


def test_restart_delay_counts_from_the_last_start():
    starts = [NOW, NOW + timedelta(seconds=1)]

    earliest = plan.compute_earliest_start(NEXT_GENERATION, EXITED, starts, NOW + timedelta(seconds=30))

    assert earliest == NOW + timedelta(seconds=2)


def test_later_one_of_settle_time_and_restart_delay_counts():
    starts = [NOW, NOW + timedelta(seconds=1)]
    soon, late = NOW + timedelta(seconds=1), NOW + timedelta(seconds=9)

    assert plan.compute_earliest_start(SAME_GENERATION, EXITED, starts, soon) == NOW + timedelta(seconds=2)
    assert plan.compute_earliest_start(SAME_GENERATION, EXITED, starts, late) == late + plan.SETTLE_TIME


def test_start_exactly_at_the_crash_loop_window_is_ignored():
    last = NOW + plan.CRASH_LOOP_WINDOW

    assert compute_delay(NEXT_GENERATION, [NOW, last], last) == 0
    assert compute_delay(NEXT_GENERATION, [NOW + timedelta(microseconds=1), last], last) == 1


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.25), (2, 0.5), (3, 1), (6, 8), (7, 15), (100, 15)])
def test_retry_delay_doubles_from_a_quarter_of_a_second(failures, seconds):
    assert plan.RETRY_BACKOFF.delay(failures).total_seconds() == seconds


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("generation", [1, 2, 3])
def test_known_start_does_not_change_the_condition_of_an_existing_instance(phase, generation):
    instance = replace(EXITED, phase=phase, generation=generation)
    known = replace(SAME_GENERATION, generation=2, reference="r1")

    assert plan.assess_condition(known, instance, 2) is plan.assess_condition(None, instance, 2)
