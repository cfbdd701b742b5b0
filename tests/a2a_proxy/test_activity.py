import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.a2a_proxy import activity as module
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.app import service
from services.a2a_proxy.broadcasts import Broadcasts
from services.a2a_proxy.errors import ActivityCursorGone
from services.a2a_proxy.model import Activity, ActivityQuery, Source, WorkspaceId
from services.a2a_proxy.store import Store
from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from tests import databases
from tests.waiting import eventually

A = WorkspaceId(str(uuid4()))
B = WorkspaceId(str(uuid4()))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with databases.fresh(database_url, service) as engine:
        yield Store(engine)


class AbsentStore:
    """A store whose database is away until it is told to come back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = True
        self.attempts = 0

    @asynccontextmanager
    async def begin(self):
        self.attempts += 1
        if self.away:
            raise Unavailable
        async with self._store.begin() as tx:
            yield tx


def row(workspace_id: WorkspaceId = A, **fields) -> Activity:
    values = {"id": str(uuid4()), "activity_type": "a2a_receive", "created_at": NOON} | fields
    return Activity(workspace_id=workspace_id, **values)


def log_over(store, *, delay: float = 0.05) -> ActivityLog:
    return ActivityLog(store, Broadcasts(), SystemClock(), delay=timedelta(seconds=delay))


@asynccontextmanager
async def writing(log: ActivityLog):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(log.write())
        yield
        task.cancel()


async def rows(log: ActivityLog, workspace_id: WorkspaceId = A, **fields) -> list[Activity]:
    return await log.rows(ActivityQuery(workspace_id=workspace_id, **fields))


async def test_a_row_comes_back_as_it_was_noted(store):
    log = log_over(store)
    noted = row(
        source_id=B,
        target_id=A,
        method="message/send",
        status="error",
        duration_ms=12,
        error_detail="why",
        request_body='{"a": 9007199254740993, "b": "\\u0000"}',
        response_body="[1.0]",
        tool_trace="[]",
    )

    async with writing(log):
        log.note(noted)
        assert await eventually(lambda: rows(log)) == [noted]


async def test_rows_keep_their_order_through_batches(store):
    log = log_over(store, delay=0.01)
    noted = [row(method=str(number)) for number in range(module.BATCH * 2 + 7)]

    async with writing(log):
        for activity in noted:
            log.note(activity)
        await eventually(lambda: not log._rows)

    found = await rows(log, limit=2000)
    assert [activity.method for activity in reversed(found)] == [activity.method for activity in noted]


async def test_a_row_that_is_not_written_behind_is_there_when_record_returns(store):
    log = log_over(store, delay=0)

    await log.record(row())

    assert len(await rows(log)) == 1


async def test_a_stop_writes_what_is_left(store):
    log = log_over(store, delay=60)
    for _ in range(module.BATCH + 1):
        log.note(row())

    async with writing(log):
        pass
    await log.flush()

    assert len(await rows(log, limit=2000)) == module.BATCH + 1


async def test_a_batch_that_was_committed_without_being_told_is_not_written_twice(store):
    log = log_over(store)
    noted = [row(), row()]
    async with store.begin() as tx:
        await tx.append(noted)

    for activity in noted:
        log.note(activity)
    await log.flush()

    assert len(await rows(log)) == 2


async def test_nothing_is_dropped_while_the_database_is_away_and_callers_wait_when_it_is_too_much(store):
    absent = AbsentStore(store)
    log = log_over(absent, delay=0.01)
    noted = [row(method=str(number)) for number in range(module.FULL)]

    async with writing(log):
        for activity in noted:
            log.note(activity)
        await eventually(lambda: absent.attempts)
        waiting = asyncio.ensure_future(log.room())
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()

        absent.away = False

        await asyncio.wait_for(waiting, 10)
        await eventually(lambda: not log._rows, within=30)
    assert len(await rows(log, limit=module.FULL + 1)) == module.FULL


async def test_large_bodies_fill_the_buffer_too(store):
    log = log_over(store)
    body = "x" * (module.FULL_BYTES // 4)
    for _ in range(4):
        log.note(row(request_body=body))

    assert not log._room.is_set()
    assert len(log._batch()[0]) == 1


async def test_committing_without_a_database_is_refused(store):
    with pytest.raises(Unavailable):
        await log_over(AbsentStore(store)).commit(row())


# Reading ─────────────────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-01")
async def test_the_newest_rows_come_first_and_each_filter_works_alone_and_with_others(store):
    log = log_over(store)
    for number in range(6):
        kind = "a2a_receive" if number % 2 else "agent_log"
        await log.commit(row(method=str(number), activity_type=kind, source_id=B if number > 2 else None))
    await log.commit(row(B))

    async def found(**fields):
        return [activity.method for activity in await rows(log, **fields)]

    assert await found() == ["5", "4", "3", "2", "1", "0"]
    assert await found(limit=2) == ["5", "4"]
    assert await found(activity_type="agent_log") == ["4", "2", "0"]
    assert await found(source=Source.AGENT) == ["5", "4", "3"]
    assert await found(source=Source.CANVAS) == ["2", "1", "0"]
    assert await found(source=Source.CANVAS, activity_type="agent_log", limit=1) == ["2"]


@pytest.mark.covers("ACT-02", "ACT-21")
async def test_a_time_window_includes_its_edge(store):
    log = log_over(store)
    for age in (61, 60, 59):
        await log.commit(row(method=str(age), created_at=NOON - timedelta(seconds=age)))

    found = await rows(log, since=NOON - timedelta(seconds=60))

    assert [activity.method for activity in found] == ["59", "60"]


@pytest.mark.covers("ACT-03")
async def test_a_cursor_continues_in_order_though_times_are_equal(store):
    log = log_over(store)
    noted = [row(method=str(number)) for number in range(5)]
    async with store.begin() as tx:
        await tx.append(noted)

    found = await rows(log, after=noted[1].id.upper())

    assert [activity.method for activity in found] == ["2", "3", "4"]
    assert await rows(log, after=noted[4].id) == []


@pytest.mark.covers("ACT-03")
async def test_cursors_that_are_unknown_foreign_or_no_ids_are_gone(store):
    log = log_over(store)
    foreign = row(B)
    await log.commit(foreign)

    for cursor in (str(uuid4()), foreign.id, "nonsense"):
        with pytest.raises(ActivityCursorGone):
            await rows(log, after=cursor)


@pytest.mark.covers("ACT-03")
async def test_a_row_that_commits_late_is_not_passed_over_by_a_cursor(store):
    log = log_over(store)
    early, late = row(method="early"), row(method="late")

    async with store.begin() as first:
        await first.append([early])
        second = asyncio.ensure_future(log.commit(late))
        await asyncio.wait([second], timeout=0.2)
        assert not second.done()
    await second

    assert [activity.method for activity in await rows(log, after=early.id)] == ["late"]


async def test_cleaning_erases_what_is_older_than_it_is_kept_for(store, clock):
    log = ActivityLog(store, Broadcasts(), clock, delay=timedelta())
    await log.commit(row(method="old", created_at=clock.now() - timedelta(days=8)))
    await log.commit(row(method="new", created_at=clock.now() - timedelta(days=6)))

    await log.clean(timedelta(days=7))

    assert [activity.method for activity in await rows(log)] == ["new"]


@pytest.mark.covers("ACT-01")
@pytest.mark.parametrize("forwards", [False, True])
async def test_a_page_holds_what_fits_one_answer(store, forwards):
    log, large = log_over(store, delay=0), "x" * (5 * 1024 * 1024)
    first, *rest = [row(request_body="{}"), *(row(request_body=large) for _ in range(4))]
    for one in (first, *rest):
        await log.record(one)

    found = await log.rows(ActivityQuery(workspace_id=A, limit=100, after=first.id if forwards else None))

    assert [one.id for one in found] == [one.id for one in (rest[:2] if forwards else rest[:1:-1])]


async def test_one_row_that_is_too_large_is_shown_without_its_reply(store):
    log, large = log_over(store, delay=0), "x" * (9 * 1024 * 1024)
    await log.record(row(request_body=large, response_body=large))

    [found] = await log.rows(ActivityQuery(workspace_id=A, limit=100))

    assert (found.request_body, found.response_body) == (large, None)
