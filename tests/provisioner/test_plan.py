from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.provisioner import plan
from services.provisioner.model import (
    Condition,
    DesiredState,
    Exited,
    Instance,
    Phase,
    Skipped,
    Started,
    Stopped,
    Wish,
    WorkspaceId,
)
from services.provisioner.plan import Step

ID = WorkspaceId("5f0c2c1e-3c55-4b3a-9d43-9f7a3d1f0001")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

wishes = st.builds(
    Wish,
    workspace_id=st.just(ID),
    generation=st.integers(1, 4),
    desire=st.sampled_from(DesiredState),
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


def after(step: Step, wish: Wish, instance: Instance | None) -> Instance | None:
    """What a backend that keeps its contract holds after one step."""
    match step:
        case Step.NOTHING:
            return instance
        case Step.START:
            return Instance(
                workspace_id=ID,
                generation=wish.generation,
                phase=Phase.RUNNING,
                address="http://there",
                reference="r3",
            )
        case Step.STOP:
            return instance and replace(instance, phase=Phase.EXITED)
        case Step.FORGET:
            return None


def settled(wish: Wish, instance: Instance | None) -> tuple[Instance | None, list[Step]]:
    steps = []
    while (step := plan.next_step(wish, instance)) is not Step.NOTHING:
        steps.append(step)
        assert len(steps) < 5, steps
        instance = after(step, wish, instance)
    return instance, steps


@given(wishes, instances)
def test_from_any_state_a_few_steps_reach_the_wish(wish, instance):
    last, steps = settled(wish, instance)

    assert len(steps) <= 2
    match wish.desire:
        case DesiredState.RUNNING:
            assert last is not None
            assert (last.phase, last.generation) == (Phase.RUNNING, wish.generation)
        case DesiredState.STOPPED:
            assert last is None or last.phase is Phase.EXITED
        case DesiredState.FORGOTTEN:
            assert last is None
        case DesiredState.UNTOUCHED:
            assert last is instance


@given(wishes, instances)
def test_what_is_as_wished_is_left_alone(wish, instance):
    last, _ = settled(wish, instance)

    assert plan.next_step(wish, last) is Step.NOTHING


@given(instances)
def test_a_running_instance_is_never_forgotten_before_it_is_stopped(instance):
    wish = Wish(workspace_id=ID, generation=1, desire=DesiredState.FORGOTTEN)

    if instance and instance.phase is Phase.RUNNING:
        assert plan.next_step(wish, instance) is Step.STOP


@pytest.mark.covers("PROV-33")
@given(st.integers(1, 20))
def test_restarts_asked_for_during_a_cycle_cost_one_more_cycle(asked):
    """One cycle looks, steps, and looks again; what was asked meanwhile is one wish by then."""
    wish = Wish(workspace_id=ID, generation=2, desire=DesiredState.RUNNING)
    running = after(Step.START, replace(wish, generation=1), None)
    cycles = 0

    first = after(plan.next_step(wish, running), wish, running)
    cycles += 1
    wish = replace(wish, generation=wish.generation + asked)
    _, more = settled(wish, first)

    assert cycles + len(more) == 2


@pytest.mark.covers("PROV-33")
@given(st.integers(1, 20))
def test_restarts_asked_for_one_after_the_other_cost_a_cycle_each(asked):
    wish = Wish(workspace_id=ID, generation=1, desire=DesiredState.RUNNING)
    instance, _ = settled(wish, None)
    cycles = 0

    for _ in range(asked):
        wish = replace(wish, generation=wish.generation + 1)
        instance, steps = settled(wish, instance)
        cycles += len(steps)

    assert cycles == asked


@given(wishes, instances)
def test_news_told_and_taken_in_is_no_news(wish, instance):
    told = plan.news(wish, instance)

    if isinstance(told, Started):
        assert plan.news(replace(wish, reference=told.reference), instance) is None


@given(wishes, instances)
def test_news_of_an_instance_is_of_the_generation_that_is_wanted(wish, instance):
    told = plan.news(wish, instance)

    assert told is None or told.generation == wish.generation


@given(instances)
def test_of_a_failed_workspace_there_is_nothing_to_say_and_nothing_to_do(instance):
    wish = Wish(workspace_id=ID, generation=1, desire=DesiredState.UNTOUCHED)

    assert plan.news(wish, instance) is None
    assert plan.skipped(wish) is None
    assert plan.next_step(wish, instance) is Step.NOTHING


@pytest.mark.parametrize("desire", [DesiredState.STOPPED, DesiredState.FORGOTTEN])
@given(instance=instances)
def test_stopped_is_said_exactly_when_nothing_runs(desire, instance):
    wish = Wish(workspace_id=ID, generation=3, desire=desire)
    runs = instance is not None and instance.phase is Phase.RUNNING

    assert plan.news(wish, instance) == (None if runs else Stopped(3))


@pytest.mark.parametrize("desire", [DesiredState.STOPPED, DesiredState.FORGOTTEN])
def test_an_agent_that_left_the_plane_leaves_its_instance_behind(desire):
    wish = Wish(workspace_id=ID, generation=1, desire=desire, external=True)

    assert plan.news(wish, ENDED) == Stopped(1)
    assert plan.next_step(wish, replace(ENDED, phase=Phase.RUNNING)) is Step.STOP


@pytest.mark.parametrize("desire", [DesiredState.STOPPED, DesiredState.FORGOTTEN])
def test_nobody_waits_for_the_stop_of_an_agent_that_the_plane_never_started(desire):
    wish = Wish(workspace_id=ID, generation=1, desire=desire, external=True)

    assert plan.news(wish, None) is None
    assert plan.skipped(wish) is None


def test_an_instance_that_ended_is_news_even_if_its_start_was_known():
    wish = Wish(workspace_id=ID, generation=1, desire=DesiredState.RUNNING, reference="r1")
    ended = Instance(
        workspace_id=ID, generation=1, phase=Phase.EXITED, address="http://there", reference="r1", exit_code=9
    )

    assert plan.news(wish, ended) == Exited(generation=1, reference="r1", exit_code=9)


def test_where_nothing_is_ever_started_the_wish_for_an_instance_is_answered():
    wish = Wish(workspace_id=ID, generation=2, desire=DesiredState.RUNNING)

    assert plan.skipped(wish) == Skipped(2)
    assert plan.skipped(replace(wish, desire=DesiredState.STOPPED)) == Stopped(2)


ENDED = Instance(workspace_id=ID, generation=1, phase=Phase.EXITED, address="http://there", reference="r1")
AGAIN = Wish(workspace_id=ID, generation=1, desire=DesiredState.RUNNING)
NEXT = replace(AGAIN, generation=2, automatic=True)


def wait(wish: Wish, starts: list[datetime], now: datetime) -> float:
    return max(0.0, (plan.not_before(wish, ENDED, starts, now) - now).total_seconds())


def test_the_first_automatic_restart_comes_at_once():
    assert wait(NEXT, [NOW], NOW) == 0


def test_the_same_generation_waits_a_moment_for_the_registry_to_ask_for_a_newer_one():
    assert wait(AGAIN, [NOW], NOW + timedelta(seconds=3)) == plan.SETTLING.total_seconds()


def test_each_further_restart_waits_longer_until_the_longest():
    waits, starts, now = [], [NOW], NOW
    for _ in range(10):
        waits.append(wait(NEXT, starts, now))
        now += timedelta(seconds=waits[-1])
        starts.append(now)

    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_agent_that_ran_long_is_not_in_a_crash_loop():
    starts = [NOW + timedelta(seconds=n) for n in range(8)]

    assert wait(NEXT, [*starts, NOW + timedelta(minutes=11)], NOW + timedelta(minutes=11, seconds=1)) == 0


def test_whoever_asks_for_a_restart_is_not_made_to_wait():
    starts = [NOW + timedelta(seconds=n) for n in range(8)]

    assert wait(replace(NEXT, automatic=False), starts, starts[-1]) == 0
    assert wait(NEXT, starts, starts[-1]) == 60


def test_replacing_what_runs_never_waits():
    running = replace(ENDED, phase=Phase.RUNNING)
    starts = [NOW + timedelta(seconds=n) for n in range(8)]

    assert plan.not_before(NEXT, running, starts, NOW) == plan.AT_ONCE


@given(st.lists(st.integers(0, 10_000), max_size=30), st.integers(0, 2_000))
def test_no_wait_is_longer_than_the_longest(offsets, later):
    starts = sorted(NOW + timedelta(seconds=offset) for offset in offsets)
    now = (starts[-1] if starts else NOW) + timedelta(seconds=later)

    assert 0 <= wait(NEXT, starts, now) <= wait(AGAIN, starts, now) <= plan.LONGEST.total_seconds()


@given(st.integers(1, 10_000))
def test_pauses_grow_with_failures_up_to_the_longest(failures):
    pause = plan.pause_after(failures)

    assert plan.FIRST_PAUSE <= pause <= plan.pause_after(failures + 1) <= plan.LONGEST_PAUSE


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
def test_only_the_generation_that_was_talked_to_can_be_alive_or_gone(phase, generation, found):
    instance = Instance(
        workspace_id=ID, generation=generation, phase=phase, address="http://there", reference="r1", exit_code=None
    )

    assert plan.condition(None, instance, 2) is found


@pytest.mark.covers("PROV-40")
def test_of_an_instance_that_is_not_there_nothing_can_be_said_unless_it_is_known_to_have_been():
    known = Wish(workspace_id=ID, generation=1, desire=DesiredState.RUNNING, reference="r1")

    assert plan.condition(None, None, 1) is Condition.UNKNOWN
    assert plan.condition(replace(known, reference=""), None, 1) is Condition.UNKNOWN
    assert plan.condition(replace(known, generation=2), None, 1) is Condition.UNKNOWN
    assert plan.condition(known, None, 1) is Condition.GONE


def test_an_instance_that_is_lost_without_a_word_has_ended():
    known = Wish(workspace_id=ID, generation=1, desire=DesiredState.RUNNING, reference="r1")

    assert plan.news(known, None) == Exited(generation=1, reference="r1", exit_code=None)
    assert plan.news(replace(known, reference=""), None) is None
