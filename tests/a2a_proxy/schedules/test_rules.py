from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.a2a_proxy.errors import InvalidSchedule
from services.a2a_proxy.model import StoredEventType
from services.a2a_proxy.schedules import rules
from services.a2a_proxy.schedules.rules import (
    Action,
    DueSchedule,
    Punctuality,
    RunOutcome,
    RunStatus,
    ScheduleDraft,
    ScheduleSource,
)

NOW = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORKSPACE = "00000000-0000-4000-8000-00000000000a"
SECOND = timedelta(seconds=1)


def build(*, source=ScheduleSource.RUNTIME, now=NOW, **fields):
    values = {"name": "daily", "cron_expr": "0 * * * *", "prompt": "go"} | fields
    return rules.build_schedule(
        ScheduleDraft(**values), schedule_id="s", workspace_id=WORKSPACE, now=now, source=source
    )


def plan(*, due_at=NOW, now=NOW, cron_expr="*/30 * * * *", is_native=False, has_room=True, is_running=False):
    due = DueSchedule(id="s", workspace_id=WORKSPACE, cron_expr=cron_expr, timezone="UTC", due_at=due_at)
    return rules.plan_run(due, now, is_native=is_native, has_room=has_room, is_running=is_running)


def run_with(schedule, *outcomes):
    """The schedule and the last run after runs with these outcomes."""
    run = None
    for outcome in outcomes:
        claimed, run = rules.start_run(schedule, plan(), run_id="r", now=NOW)
        schedule, run = rules.finish_run(claimed, run, outcome, SECOND)
    return schedule, run


# New and changed schedules ───────────────────────────────────────────────────


def test_a_new_schedule_is_due_at_its_first_time():
    schedule = build(prompt="a\r\nb")

    assert schedule.next_run_at == NOW.replace(hour=9, minute=0)
    assert schedule.interval == HOUR
    assert (schedule.prompt, schedule.last_status, schedule.run_count) == ("a\nb", None, 0)
    assert build(enabled=False).next_run_at is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cron_expr": ""}, "cron_expr and prompt are required"),
        ({"prompt": ""}, "cron_expr and prompt are required"),
        ({"prompt": "\r\n "}, "cron_expr and prompt are required"),
        ({"cron_expr": "@daily"}, "invalid request body"),
        ({"timezone": "Mars"}, "invalid timezone: Mars"),
        ({"name": "é" * 101}, "name must be <= 200 bytes"),
        *(({"name": f"a{odd}b"}, "name must not contain control characters") for odd in "\n\x7f\x85\u2028\u202e\u200b"),
        ({"prompt": "é" * 32769}, "prompt must be <= 65536 bytes"),
    ],
)
def test_invalid_schedules_are_refused_with_their_text(fields, text):
    with pytest.raises(InvalidSchedule) as refusal:
        build(**fields)
    assert refusal.value.message == text
    with pytest.raises(InvalidSchedule):
        rules.apply_changes(build(), fields, NOW)


def test_the_next_time_changes_only_with_the_fields_that_it_depends_on():
    schedule = build()
    later = NOW + 3 * HOUR

    same = rules.apply_changes(schedule, {"name": "n", "prompt": "p\r", "enabled": True}, later)
    other = rules.apply_changes(schedule, {"cron_expr": "15 * * * *"}, later)
    disabled = rules.apply_changes(schedule, {"enabled": False}, later)
    again = rules.apply_changes(disabled, {"enabled": True}, later)

    assert (same.next_run_at, same.name, same.prompt) == (schedule.next_run_at, "n", "p")
    assert same.updated_at == later
    assert other.next_run_at == NOW.replace(hour=12, minute=15)
    assert disabled.next_run_at is None
    assert again.next_run_at == NOW.replace(hour=12, minute=0)
    with pytest.raises(InvalidSchedule, match="invalid value for field: id"):
        rules.apply_changes(schedule, {"id": "x"}, later)


def test_a_changed_schedule_of_a_template_counts_as_edited():
    assert not rules.apply_changes(build(), {"name": "n"}, NOW).edited
    assert rules.apply_changes(build(source=ScheduleSource.TEMPLATE), {"name": "n"}, NOW).edited


# Due schedules ───────────────────────────────────────────────────────────────


def test_a_due_schedule_fires_and_is_due_again_at_its_next_time():
    fired = plan(now=NOW + 2 * SECOND)

    assert (fired.action, fired.scheduled_at) == (Action.FIRE, NOW)
    assert (fired.next_run_at, fired.interval) == (NOW + HOUR / 2, HOUR / 2)


def test_of_several_missed_times_the_last_one_fires_if_it_is_less_than_an_hour_ago():
    many = plan(due_at=NOW - timedelta(days=30), now=NOW + 29 * timedelta(minutes=1))
    old = plan(due_at=NOW - 3 * HOUR, now=NOW, cron_expr="30 5 * * *")

    assert (many.action, many.scheduled_at) == (Action.FIRE, NOW)
    assert old.action is Action.SKIP
    assert old.reason == "missed: the plane was not running at 2026-05-01T05:30:00Z"
    assert old.next_run_at == NOW - 3 * HOUR + timedelta(days=1)
    assert plan(due_at=NOW, now=NOW + HOUR - SECOND, cron_expr="30 8 * * *").action is Action.FIRE
    assert plan(due_at=NOW, now=NOW + HOUR, cron_expr="30 8 * * *").action is Action.SKIP


@pytest.mark.covers("SCH-03")
@pytest.mark.parametrize("full", [{"has_room": False}, {"is_running": True}])
def test_a_run_waits_two_minutes_for_room_and_is_skipped_then(full):
    assert plan(now=NOW + 119 * SECOND, **full).action is Action.WAIT

    skipped = plan(now=NOW + 120 * SECOND, **full)

    assert (skipped.action, skipped.next_run_at) == (Action.SKIP, NOW + HOUR / 2)
    assert skipped.reason == (rules.OVERLAP_TEXT if "is_running" in full else rules.BUSY_TEXT)
    assert plan(cron_expr="* * * * *", now=NOW + 120 * SECOND, **full).action is Action.SKIP


@pytest.mark.covers("SCH-01")
@given(has_room=st.booleans(), is_running=st.booleans(), late=st.timedeltas(timedelta(), timedelta(days=3)))
@settings(max_examples=40)
def test_a_schedule_of_an_agent_with_its_own_scheduler_is_left_to_the_agent(has_room, is_running, late):
    left = plan(now=NOW + late, is_native=True, has_room=has_room, is_running=is_running)

    assert left.action is Action.LEAVE
    assert left.next_run_at > NOW + late
    after = rules.leave_to_agent(build(), left, NOW + late)
    assert (after.last_run_at, after.next_run_at, after.run_count) == (NOW + late, left.next_run_at, 0)


@given(st.booleans(), st.booleans(), st.booleans(), st.timedeltas(timedelta(), timedelta(days=400)), st.integers(0, 59))
@settings(max_examples=40)
def test_whatever_happens_a_schedule_is_due_later_or_waits(is_native, has_room, is_running, late, minute):
    due_at = NOW.replace(minute=minute)
    decided = plan(
        cron_expr=f"{minute} * * * *",
        due_at=due_at,
        now=due_at + late,
        is_native=is_native,
        has_room=has_room,
        is_running=is_running,
    )

    assert decided.next_run_at > due_at + late
    assert due_at <= decided.scheduled_at <= due_at + late
    assert decided.action is not Action.WAIT or late < rules.CAPACITY_WAIT


def test_a_schedule_whose_time_zone_is_gone_is_skipped_and_not_due_again():
    due = DueSchedule(id="s", workspace_id=WORKSPACE, cron_expr="* * * * *", timezone="Gone/Zone", due_at=NOW)

    decided = rules.plan_run(due, NOW, is_native=False, has_room=True, is_running=False)

    assert (decided.action, decided.next_run_at) == (Action.SKIP, None)
    assert decided.reason == "invalid timezone: Gone/Zone"


# Runs ────────────────────────────────────────────────────────────────────────


def test_a_run_counts_and_its_outcome_is_the_status_of_the_schedule():
    schedule, run = run_with(build(), RunOutcome(is_ok=True))
    assert (schedule.last_status, schedule.run_count, schedule.last_run_at) == (RunStatus.OK, 1, NOW)
    assert (run.status, run.duration_ms) == (RunStatus.OK, 1000)

    failed, run = run_with(schedule, RunOutcome(is_ok=False, detail="no"))
    assert (failed.last_status, failed.last_error, failed.run_count) == (RunStatus.ERROR, "no", 2)
    assert (run.status, run.error_detail) == (RunStatus.ERROR, "no")

    queued, run = run_with(failed, RunOutcome(is_ok=True, detail="waits"))
    assert (queued.last_status, queued.last_error, run.error_detail) == (RunStatus.OK, "", "waits")


def test_the_third_empty_answer_in_a_row_is_stale():
    empty, full, failure = RunOutcome(is_ok=True, is_empty=True), RunOutcome(is_ok=True), RunOutcome(is_ok=False)

    assert run_with(build(), empty, empty)[0].last_status is RunStatus.OK
    assert run_with(build(), empty, empty, empty)[0].last_status is RunStatus.STALE
    assert run_with(build(), empty, empty, empty, empty)[0].last_status is RunStatus.STALE
    assert run_with(build(), empty, empty, full, empty)[0].last_status is RunStatus.OK
    assert run_with(build(), empty, empty, failure, empty)[0].last_status is RunStatus.OK


def test_a_skipped_run_has_ended_and_does_not_count():
    skip = plan(now=NOW + 3 * HOUR, due_at=NOW, cron_expr="30 8 * * *")

    schedule, run = rules.start_run(build(), skip, run_id="r", now=NOW)

    assert (schedule.last_status, schedule.last_error, schedule.run_count) == (RunStatus.SKIPPED, skip.reason, 0)
    assert (run.status, run.error_detail) == (RunStatus.SKIPPED, skip.reason)


def test_the_event_and_the_activity_row_say_what_happened():
    _, run = run_with(build(), RunOutcome(is_ok=False, detail="no"))
    event, row = rules.build_event(run, event_id="e"), rules.build_activity(run)
    assert (event.type, event.workspace_id) == (StoredEventType.CRON_EXECUTED, WORKSPACE)
    assert event.payload == {"schedule_id": "s", "schedule_name": "daily", "status": "error"}
    assert (row.activity_type, row.status, row.error_detail, row.duration_ms) == ("cron_run", "error", "no", 1000)
    assert row.request_body == '{"schedule_id":"s","schedule_name":"daily","cron_expr":"0 * * * *","prompt":"go"}'

    _, run = rules.start_run(build(), replace(plan(), action=Action.SKIP, reason="busy"), run_id="r", now=NOW)
    event, row = rules.build_event(run, event_id="e"), rules.build_activity(run)
    assert (event.type, event.payload["reason"]) == (StoredEventType.CRON_SKIPPED, "busy")
    assert "status" not in event.payload
    assert '"skipped":true' in row.request_body


def test_only_short_prompts_are_kept_with_a_run():
    _, short = run_with(build(prompt="x" * 1000), RunOutcome(is_ok=True))
    _, long = run_with(build(prompt="x" * 1001), RunOutcome(is_ok=True))

    assert (short.prompt, long.prompt) == ("x" * 1000, None)
    assert "prompt" not in rules.describe_request(long)


def test_a_schedule_is_late_after_twice_its_interval():
    schedule = build()
    ran = replace(schedule, last_run_at=NOW)

    assert rules.judge_punctuality(schedule, NOW + 9 * HOUR) is Punctuality.NEVER_RUN
    assert rules.judge_punctuality(ran, NOW + 2 * HOUR) is Punctuality.OK
    assert rules.judge_punctuality(ran, NOW + 2 * HOUR + SECOND) is Punctuality.STALE
    assert rules.judge_punctuality(replace(ran, enabled=False, next_run_at=None), NOW + 9 * HOUR) is Punctuality.OK
