"""Silence counts only while the plane could hear, whatever was down and however long."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.registry.workspace.facts import HeartbeatMissed
from services.registry.workspace.hearing import MAX_GAP, Hearing, note_hearing
from services.registry.workspace.model import EXTERNAL, Status, Vitals
from services.registry.workspace.state_machine import next_state
from tests.registry.strategies import NOW, TIMEOUTS
from tests.registry.workspace.test_state_machine import workspace

TICK = timedelta(seconds=5)

seconds = st.integers(1, 2_000).map(lambda number: timedelta(seconds=number))
phases = st.lists(st.tuples(seconds, seconds), min_size=1, max_size=6)
"""How long the plane could hear, and then how long it could not, again and again."""


def live_through(phases):
    """Return the record and the time after the phases, and when the last gap ended."""
    record, now, up_since = None, NOW, NOW
    for hears, is_deaf in phases:
        end = now + hears
        while now <= end:
            record = note_hearing(record, now)
            now += TICK
        now += is_deaf
        if is_deaf > MAX_GAP:
            up_since = now
    return note_hearing(record, now), now, up_since


def judge(record, now, last_seen, runtime):
    agent = workspace(Status.ONLINE, runtime=runtime, vitals=Vitals(last_seen=last_seen))
    fact = HeartbeatMissed(at=now, timeouts=TIMEOUTS, hearing_since=record.since)
    return next_state(agent, fact).status is not Status.ONLINE


@pytest.mark.covers("DWN-06")
@given(phases, seconds, st.sampled_from(["echo", EXTERNAL]))
def test_an_agent_is_silent_only_if_the_plane_heard_nothing_for_the_whole_limit_without_a_gap(phases, age, runtime):
    record, now, up_since = live_through(phases)
    limit = TIMEOUTS.external if runtime == EXTERNAL else TIMEOUTS.managed

    assert judge(record, now, now - age, runtime) is (age >= limit and now - record.since >= limit)
    assert record.since >= up_since - TICK


@pytest.mark.covers("DWN-06")
@given(phases, st.sampled_from(["echo", EXTERNAL]))
def test_directly_after_a_gap_no_agent_is_silent(phases, runtime):
    assume(phases[-1][1] > MAX_GAP)
    record, now, _ = live_through(phases)

    assert not judge(record, now, NOW - timedelta(days=9), runtime)
    assert not judge(record, now, None, runtime)


@pytest.mark.covers("DWN-06")
@given(phases, st.sampled_from(["echo", EXTERNAL]))
def test_a_dead_agent_is_found_one_limit_after_the_last_gap(phases, runtime):
    record, now, _ = live_through(phases)
    later = now
    while later - now < TIMEOUTS.managed:
        later += TICK
        record = note_hearing(record, later)

    assert judge(record, later, NOW - timedelta(days=9), runtime)


@pytest.mark.covers("DWN-06")
@given(st.lists(st.integers(-100, 100), max_size=30))
def test_a_clock_that_jumps_never_makes_the_record_older(jumps):
    record, now = note_hearing(None, NOW), NOW
    for jump in jumps:
        now += timedelta(seconds=jump)
        after = note_hearing(record, now)
        assert after.since >= record.since or after.until >= record.until
        record = after


@pytest.mark.covers("DWN-06")
def test_a_short_gap_is_none():
    record = Hearing(since=NOW - timedelta(hours=1), until=NOW)

    assert note_hearing(record, NOW + MAX_GAP) == replace(record, until=NOW + MAX_GAP)
    assert note_hearing(record, NOW + MAX_GAP + timedelta(seconds=1)).since == NOW + MAX_GAP + timedelta(seconds=1)
