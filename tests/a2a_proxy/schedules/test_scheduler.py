import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from services.a2a_proxy.errors import AgentUnreachable, WorkspaceNotFound
from services.a2a_proxy.model import (
    Acceptance,
    Answer,
    AnswerReceipt,
    FailureReceipt,
    QueueReceipt,
    Stream,
    StreamInterrupted,
    WorkspaceId,
)
from services.a2a_proxy.schedules import rules, scheduler
from services.a2a_proxy.schedules.rules import RunStatus
from services.a2a_proxy.schedules.store import ScheduleStore
from services.chassis.errors import Unavailable
from tests.a2a_proxy.module_imports import find_imported_modules
from tests.a2a_proxy.schedules.conftest import ANSWER, START
from tests.waiting import eventually

DUE = START.replace(second=0)
NEXT = DUE + timedelta(minutes=30)


def answer_with(receipt):
    async def answer(_):
        if isinstance(receipt, Exception):
            raise receipt
        return receipt

    return answer


class Held:
    """An agent that answers when the test lets it."""

    def __init__(self):
        self.may_answer = asyncio.Event()

    async def __call__(self, _):
        await self.may_answer.wait()
        return AnswerReceipt(answer=Answer(status=200, body=ANSWER), agent_time=timedelta())


async def test_a_due_schedule_sends_its_prompt_once_and_records_it(bench):
    schedule = await bench.add(name="daily")
    later = await bench.add(next_run_at=NEXT)
    async with bench.running() as running:
        await running.tick()
        after = await bench.wait_for_end(schedule)
        await running.tick()

    assert bench.sent_ids == [f"cron-{schedule.id}-20260501T083000Z"]
    assert (after.last_status, after.run_count, after.last_run_at) == (RunStatus.OK, 1, START)
    assert after.next_run_at == NEXT
    [run] = await bench.list_runs(schedule)
    assert (run.status, run.scheduled_at, run.prompt) == (RunStatus.OK, DUE, "go")
    assert run.duration_ms is not None
    assert [(row.activity_type, row.status, row.workspace_id) for row in bench.rows] == [
        ("cron_run", "ok", schedule.workspace_id)
    ]
    described = {"schedule_id": schedule.id, "schedule_name": "daily"}
    assert await bench.list_events() == [("CRON_EXECUTED", described | {"status": "ok"})]
    assert await bench.find(later) == later


async def test_a_schedule_fires_again_at_its_next_time(bench):
    schedule = await bench.add()
    async with bench.running() as running:
        await running.tick()
        await bench.wait_for_end(schedule)
        bench.clock.advance(minutes=30)
        await running.tick()
        await bench.wait_for_end(schedule, runs=2)

    assert bench.sent_ids == [f"cron-{schedule.id}-20260501T083000Z", f"cron-{schedule.id}-20260501T090000Z"]


@pytest.mark.covers("SCH-01")
async def test_a_schedule_of_an_agent_with_its_own_scheduler_advances_and_is_not_fired(bench):
    schedule = await bench.add()
    bench.native.add(schedule.workspace_id)
    async with bench.running() as running:
        await running.tick()
        await running.tick()

    after = await bench.find(schedule)
    assert (after.next_run_at, after.last_run_at, after.run_count) == (NEXT, START, 0)
    assert bench.sent == bench.rows == await bench.list_runs(schedule) == await bench.list_events() == []


@pytest.mark.covers("SCH-02")
async def test_without_a_check_for_native_schedulers_every_schedule_fires(bench):
    schedule = await bench.add()
    bench.native.add(schedule.workspace_id)
    async with bench.running(is_native=None) as running:
        await running.tick()
        await bench.wait_for_end(schedule)

    assert len(bench.sent) == 1


@pytest.mark.covers("SCH-03")
async def test_a_full_workspace_waits_two_minutes_and_is_skipped_then(bench):
    schedule = await bench.add()
    bench.full.add(schedule.workspace_id)
    async with bench.running() as running:
        await running.tick()
        waiting = await bench.find(schedule)
        bench.clock.advance(seconds=120)
        await running.tick()

    after = await bench.find(schedule)
    assert waiting == schedule
    assert bench.sent == []
    assert (after.last_status, after.last_error, after.run_count) == (RunStatus.SKIPPED, rules.BUSY_TEXT, 0)
    assert after.next_run_at == NEXT
    [run] = await bench.list_runs(schedule)
    assert (run.status, run.duration_ms) == (RunStatus.SKIPPED, None)
    [(kind, payload)] = await bench.list_events()
    assert (kind, payload["reason"]) == ("CRON_SKIPPED", rules.BUSY_TEXT)
    assert [row.error_detail for row in bench.rows] == [rules.BUSY_TEXT]


@pytest.mark.covers("SCH-03")
@pytest.mark.parametrize("limit", [1, 2])
async def test_schedules_of_one_workspace_share_its_limit(bench, limit):
    bench.limit, bench.answer = limit, Held()
    workspace_id = str(uuid4())
    schedules = [await bench.add(workspace_id) for _ in range(2)]
    async with bench.running() as running:
        await running.tick()
        await eventually(lambda: len(bench.sent) == limit)
        await running.tick()
        assert len(bench.sent) == limit

        bench.answer.may_answer.set()
        await eventually(lambda: len(bench.rows) == limit)
        await running.tick()
        for schedule in schedules:
            await bench.wait_for_end(schedule)

    assert len(bench.sent) == 2


async def test_a_schedule_does_not_fire_while_its_run_before_lasts(bench):
    bench.limit, bench.answer = 9, Held()
    schedule = await bench.add()
    async with bench.running() as running:
        await running.tick()
        await eventually(lambda: bench.sent)
        bench.clock.advance(minutes=30)
        await running.tick()
        bench.clock.advance(minutes=2)
        await running.tick()

        assert len(bench.sent) == 1
        assert (await bench.find(schedule)).last_error == rules.OVERLAP_TEXT
        bench.answer.may_answer.set()
        await bench.wait_for_end(schedule, runs=2)


async def test_ten_runs_start_at_once_and_the_others_later(bench):
    bench.answer = Held()
    for _ in range(scheduler.MAX_STARTING_RUNS + 3):
        await bench.add()
    async with bench.running() as running:
        await running.tick()
        await eventually(lambda: len(bench.sent) == scheduler.MAX_STARTING_RUNS)
        await running.tick()
        assert len(bench.sent) == scheduler.MAX_STARTING_RUNS

        bench.answer.may_answer.set()
        await eventually(lambda: len(bench.rows) == scheduler.MAX_STARTING_RUNS)
        await running.tick()
        await eventually(lambda: len(bench.rows) == scheduler.MAX_STARTING_RUNS + 3)


async def test_schedules_that_wait_do_not_hold_up_those_behind_them(bench):
    workspace_id = str(uuid4())
    bench.full.add(workspace_id)
    await bench.copy(await bench.add(workspace_id), scheduler.DUE_PER_READ + 1)
    last = await bench.add(next_run_at=START)
    async with bench.running() as running:
        await running.tick()
        await bench.wait_for_end(last)

    assert len(bench.sent) == 1


async def test_after_a_stop_of_the_plane_a_schedule_fires_once_for_its_last_time(bench):
    often = await bench.add(cron_expr="* * * * *", next_run_at=DUE - timedelta(days=3))
    rare = await bench.add(cron_expr="0 3 * * *", next_run_at=DUE - timedelta(days=3, hours=5, minutes=30))
    async with bench.running() as running:
        await running.tick()
        await bench.wait_for_end(often)
        await bench.wait_for_end(rare)
        await running.tick()

    assert bench.sent_ids == [f"cron-{often.id}-20260501T083000Z"]
    skipped = await bench.find(rare)
    assert skipped.last_error == "missed: the plane was not running at 2026-05-01T03:00:00Z"
    assert skipped.next_run_at == DUE.replace(day=2, hour=3, minute=0)


@pytest.mark.parametrize(
    ("receipt", "status", "text"),
    [
        (QueueReceipt(queue_id="q", method="message/send", acceptance=Acceptance.BUSY), RunStatus.OK, ""),
        (
            FailureReceipt(error=AgentUnreachable(), agent_time=timedelta()),
            RunStatus.ERROR,
            "failed to reach workspace agent",
        ),
        (WorkspaceNotFound(), RunStatus.ERROR, "workspace not found"),
        (Unavailable(), RunStatus.ERROR, Unavailable.message),
        (ZeroDivisionError("a secret"), RunStatus.ERROR, "internal error"),
        (
            AnswerReceipt(answer=Answer(status=500, body=b"a secret"), agent_time=timedelta()),
            RunStatus.ERROR,
            "agent answered with HTTP status 500",
        ),
    ],
)
async def test_the_status_says_what_came_of_the_message(bench, receipt, status, text):
    schedule = await bench.add()
    bench.answer = answer_with(receipt)
    async with bench.running() as running:
        await running.tick()
        after = await bench.wait_for_end(schedule)

    assert (after.last_status, after.last_error, after.run_count) == (status, text, 1)


@pytest.mark.parametrize(
    ("chunks", "breaks", "status"),
    [
        ([b"data: " + ANSWER + b"\n\n"], False, RunStatus.OK),
        ([b'data: {"error":{"code":1}}\n\n'], False, RunStatus.ERROR),
        ([b"data: x"], True, RunStatus.ERROR),
    ],
)
async def test_a_streamed_answer_is_read_to_its_end(bench, chunks, breaks, status):
    async def stream():
        for chunk in chunks:
            yield chunk
        if breaks:
            raise StreamInterrupted

    schedule = await bench.add()
    bench.answer = answer_with(
        AnswerReceipt(answer=Stream(status=200, headers={}, chunks=stream()), agent_time=timedelta())
    )
    async with bench.running() as running:
        await running.tick()
        after = await bench.wait_for_end(schedule)

    assert after.last_status is status


async def test_the_third_empty_answer_makes_a_schedule_stale(bench):
    schedule = await bench.add(empty_answers=2)
    bench.answer = answer_with(AnswerReceipt(answer=Answer(status=200, body=b""), agent_time=timedelta()))
    async with bench.running() as running:
        await running.tick()
        after = await bench.wait_for_end(schedule)

    assert (after.last_status, after.empty_answers) == (RunStatus.STALE, 3)
    assert (await bench.list_events())[0][1]["status"] == "stale"


async def test_a_run_whose_process_ended_is_recorded_and_not_repeated(bench):
    bench.answer = Held()
    schedule = await bench.add()
    async with bench.running() as running:
        await running.tick()
        await eventually(lambda: bench.sent)
    async with bench.running() as restarted:
        await restarted.tick()
        assert [run.status for run in await bench.list_runs(schedule)] == [None]
        bench.native.add(schedule.workspace_id)
        bench.clock.advance(minutes=32)
        await restarted.tick()

    assert len(bench.sent) == 1
    after = await bench.find(schedule)
    assert (after.last_status, after.last_error) == (RunStatus.ERROR, rules.INTERRUPTED_TEXT)
    assert [(kind, payload["status"]) for kind, payload in await bench.list_events()] == [("CRON_EXECUTED", "error")]


async def test_the_end_of_a_run_is_stored_once_even_if_its_process_was_only_slow(bench):
    bench.answer = Held()
    schedule = await bench.add()
    async with bench.running() as slow, bench.running() as other:
        await slow.tick()
        await eventually(lambda: bench.sent)
        bench.native.add(schedule.workspace_id)
        bench.clock.advance(minutes=32)
        await other.tick()
        bench.answer.may_answer.set()
        await eventually(lambda: not slow._under_way)

    after = await bench.find(schedule)
    assert (after.last_status, after.run_count) == (RunStatus.ERROR, 1)
    assert len(await bench.list_events()) == len(bench.rows) == 1


async def test_a_crash_between_the_claim_and_the_message_loses_the_run_and_never_repeats_it(bench):
    schedule = await bench.add()
    stopped = asyncio.Event()

    async def crash(_):
        stopped.set()
        await asyncio.Event().wait()

    bench.answer = crash
    async with bench.running() as running:
        await running.tick()
        await stopped.wait()
    async with bench.running() as restarted:
        await restarted.tick()

    assert len(bench.sent) == 1
    assert (await bench.find(schedule)).next_run_at == NEXT


@pytest.mark.covers("BEY-19")
async def test_two_schedulers_that_tick_at_once_fire_each_schedule_once(bench):
    schedules = [await bench.add() for _ in range(8)]
    async with bench.running() as one, bench.running() as other:
        for _ in range(3):
            await asyncio.gather(one.tick(), other.tick(), one.tick(), other.tick())
        for schedule in schedules:
            await bench.wait_for_end(schedule)

    assert sorted(bench.sent_ids) == sorted(f"cron-{schedule.id}-20260501T083000Z" for schedule in schedules)


async def test_twenty_runs_of_a_schedule_are_kept(bench):
    schedule = await bench.add(cron_expr="* * * * *")
    async with bench.running() as running:
        for _ in range(rules.MAX_RUNS_PER_SCHEDULE + 2):
            await running.tick()
            await eventually(lambda: not running._under_way)
            bench.clock.advance(minutes=1)

    runs = await bench.list_runs(schedule)
    assert len(runs) == rules.MAX_RUNS_PER_SCHEDULE
    assert runs[0].started_at == bench.clock.now() - timedelta(minutes=1)
    assert runs == sorted(runs, key=lambda run: run.started_at, reverse=True)


async def test_a_schedule_that_is_deleted_or_changed_while_it_runs_stays_so(bench):
    bench.answer = Held()
    gone, changed = await bench.add(), await bench.add()
    async with bench.running() as running:
        await running.tick()
        await eventually(lambda: len(bench.sent) == 2)
        async with bench.store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            await schedules.delete(gone.id)
            found = await schedules.find(changed.id, lock=True)
            await schedules.update(rules.apply_changes(found, {"prompt": "other", "enabled": False}, START))
        bench.answer.may_answer.set()
        after = await bench.wait_for_end(changed)

    assert await bench.find(gone) is None
    assert (after.prompt, after.enabled, after.next_run_at, after.run_count) == ("other", False, None, 1)


async def test_nothing_fires_while_the_proxy_does_not_hear_the_registry(bench):
    schedule = await bench.add()
    async with bench.running(is_ready=lambda: False) as deaf:
        with pytest.raises(Unavailable):
            await deaf.tick()
    with pytest.raises(Unavailable):
        await bench.build().tick()

    assert await bench.find(schedule) == schedule
    assert bench.sent == []


async def test_disabled_schedules_are_not_due(bench):
    schedule = await bench.add()
    async with bench.store.begin() as tx:
        assert await ScheduleStore(tx.connection).disable_of_workspace(WorkspaceId(schedule.workspace_id)) == 1
    async with bench.running() as running:
        await running.tick()

    assert bench.sent == []
    assert (await bench.find(schedule)).next_run_at is None


HANDLERS = {"api", "app", "delivery", "exchange", "queue", "reports", "route_cache", "sending", "service"}
"""Modules that handle calls, and those whose functions `app` gives to the scheduler."""


@pytest.mark.covers("SCH-04")
def test_the_scheduler_imports_no_module_that_handles_calls_and_nothing_of_the_queue():
    imported = find_imported_modules(scheduler.__name__, "services.a2a_proxy")

    assert "services.a2a_proxy.schedules.store" in imported
    assert not [name for name in imported if HANDLERS & set(name.split("."))]


@pytest.mark.covers("SCH-04")
def test_what_a_module_imports_is_found_through_others():
    imported = find_imported_modules("services.a2a_proxy.schedules.api", "services.a2a_proxy")

    assert {"services.a2a_proxy.schedules.service", "services.a2a_proxy.route_cache"} <= imported
