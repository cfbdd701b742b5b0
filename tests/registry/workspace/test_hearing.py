"""Silence counts only while the plane could hear, whatever was down and however long."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.registry.workspace.facts import HeartbeatMissed
from services.registry.workspace.hearing import MAX_GAP, Hearing, measure_silence, note_hearing
from services.registry.workspace.model import EXTERNAL, Status, Vitals
from services.registry.workspace.state_machine import next_state
from tests.registry.strategies import NOW, TIMEOUTS
from tests.registry.workspace.test_state_machine import workspace

TICK = timedelta(seconds=5)

seconds = st.integers(1, 2_000).map(lambda number: timedelta(seconds=number))
phases = st.lists(st.tuples(seconds, seconds), min_size=1, max_size=6)
"""How long the plane could hear, and then how long it could not, again and again."""
runtimes = st.sampled_from(["echo", EXTERNAL])


def live_through(phases):
    """Return the record and the time after the phases, at the end of which the plane cannot hear."""
    record, now = None, NOW
    for hears, is_deaf in phases:
        end = now + hears
        while now <= end:
            record = note_hearing(record, now)
            now += TICK
        now += is_deaf
    return record, now


def is_silent(record, now, last_seen, runtime):
    agent = workspace(Status.ONLINE, runtime=runtime, vitals=Vitals(last_seen=last_seen))
    fact = HeartbeatMissed(at=now, timeouts=TIMEOUTS, hearing=record)
    return next_state(agent, fact).status is not Status.ONLINE


@pytest.mark.covers("DWN-06")
@given(phases, seconds, runtimes)
def test_silence_does_not_grow_while_the_plane_cannot_hear(phases, deaf_for, runtime):
    record, now = live_through(phases)
    last_seen = record.until

    assert not is_silent(record, now + deaf_for, last_seen, runtime)
    assert measure_silence(record, last_seen, now + deaf_for) == timedelta()


@pytest.mark.covers("DWN-06")
@given(phases, seconds)
def test_silence_is_never_longer_than_the_last_time_of_hearing(phases, age):
    record, now = live_through(phases)

    silence = measure_silence(record, now - age, now)
    assert silence <= age
    assert silence <= record.until - record.since


@pytest.mark.covers("DWN-06")
@given(phases, runtimes)
def test_directly_after_a_gap_no_agent_is_silent(phases, runtime):
    assume(phases[-1][1] > MAX_GAP)
    record, now = live_through(phases)
    record = note_hearing(record, now)

    assert not is_silent(record, now, NOW - timedelta(days=9), runtime)
    assert not is_silent(record, now, None, runtime)


@pytest.mark.covers("DWN-06")
@given(phases, runtimes)
def test_a_dead_agent_is_found_one_limit_after_the_last_gap(phases, runtime):
    record, now = live_through(phases)
    later = now
    while later - now < TIMEOUTS.managed + TICK:
        record = note_hearing(record, later)
        later += TICK

    assert is_silent(record, later, NOW - timedelta(days=9), runtime)


@pytest.mark.covers("DWN-06")
@given(st.lists(st.integers(-100, 100), max_size=30))
def test_a_clock_that_jumps_never_makes_the_record_older(jumps):
    record, now = note_hearing(None, NOW), NOW
    for jump in jumps:
        now += timedelta(seconds=jump)
        after = note_hearing(record, now)
        assert (after.since, after.until) >= (record.since, record.until)
        record = after


@pytest.mark.covers("DWN-06")
def test_a_short_gap_is_none():
    record = Hearing(since=NOW - timedelta(hours=1), until=NOW)

    assert note_hearing(record, NOW + MAX_GAP) == replace(record, until=NOW + MAX_GAP)
    later = NOW + MAX_GAP + timedelta(seconds=1)
    assert note_hearing(record, later) == Hearing(since=later, until=later)
