import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.a2a_proxy import activity as module
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.app import service
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.errors import ActivityCursorGone
from services.a2a_proxy.model import Activity, ActivityQuery, Source, WorkspaceId
from services.a2a_proxy.store import Store
from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.chassis.large_bodies import LARGE_BODY_BYTES
from tests import databases
from tests.waiting import eventually

A = WorkspaceId(str(uuid4()))
B = WorkspaceId(str(uuid4()))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield Store(engine)


class UnavailableStore:
    """A store whose database is unavailable until `is_unavailable` is cleared."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_unavailable = True
        self.attempts = 0

    @asynccontextmanager
    async def begin(self):
        self.attempts += 1
        if self.is_unavailable:
            raise Unavailable
        async with self._store.begin() as tx:
            yield tx


def row(workspace_id: WorkspaceId = A, **fields) -> Activity:
    values = {"id": str(uuid4()), "activity_type": "a2a_receive", "created_at": NOON} | fields
    return Activity(workspace_id=workspace_id, **values)


def log_over(store, *, delay: float = 0.05) -> ActivityLog:
    return ActivityLog(store, BroadcastFanOut(), SystemClock(), delay=timedelta(seconds=delay), on_usage=lambda _: None)


@asynccontextmanager
async def writing(log: ActivityLog):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(log.write_batches())
        yield
        task.cancel()


async def rows(log: ActivityLog, workspace_id: WorkspaceId = A, **fields) -> list[Activity]:
    return await log.list_activities(ActivityQuery(workspace_id=workspace_id, **fields))


async def test_a_row_is_read_as_it_was_written(store):
    log = log_over(store)
    buffered = row(
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
        log.buffer(buffered)
        assert await eventually(lambda: rows(log)) == [buffered]


async def test_rows_keep_their_order_through_batches(store):
    log = log_over(store, delay=0.01)
    buffered = [row(method=str(number)) for number in range(module.MAX_BATCH_ROWS * 2 + 7)]

    async with writing(log):
        for activity in buffered:
            log.buffer(activity)
        await eventually(lambda: not log._rows)

    found = await rows(log, limit=2000)
    assert [activity.method for activity in reversed(found)] == [activity.method for activity in buffered]


async def test_without_a_delay_record_returns_after_the_commit(store):
    log = log_over(store, delay=0)

    await log.record(row())

    assert len(await rows(log)) == 1


async def test_flush_writes_the_remaining_rows(store):
    log = log_over(store, delay=60)
    for _ in range(module.MAX_BATCH_ROWS + 1):
        log.buffer(row())

    async with writing(log):
        pass
    await log.flush()

    assert len(await rows(log, limit=2000)) == module.MAX_BATCH_ROWS + 1


async def test_a_row_that_was_already_committed_is_not_written_twice(store):
    log = log_over(store)
    buffered = [row(), row()]
    async with store.begin() as tx:
        await tx.append(buffered)

    for activity in buffered:
        log.buffer(activity)
    await log.flush()

    assert len(await rows(log)) == 2


async def test_without_a_database_no_row_is_dropped_and_callers_wait_for_room(store):
    unavailable = UnavailableStore(store)
    log = log_over(unavailable, delay=0.01)
    buffered = [row(method=str(number)) for number in range(module.MAX_BUFFERED_ROWS)]

    async with writing(log):
        for activity in buffered:
            log.buffer(activity)
        await eventually(lambda: unavailable.attempts)
        waiting = asyncio.ensure_future(log.wait_for_room(0))
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()

        unavailable.is_unavailable = False

        await asyncio.wait_for(waiting, 10)
        await eventually(lambda: not log._rows, within=30)
    assert len(await rows(log, limit=module.MAX_BUFFERED_ROWS + 1)) == module.MAX_BUFFERED_ROWS


async def test_large_bodies_fill_the_buffer_and_a_batch(store):
    log = log_over(store)
    body = "x" * (module.MAX_BUFFERED_BYTES // 4)
    for _ in range(4):
        log.buffer(row(request_body=body))

    assert not log._has_room_for_large.is_set()
    assert len(log._next_batch()[0]) == 1


async def test_small_messages_do_not_wait_while_large_bodies_fill_the_buffer(store):
    log = log_over(store)
    body = "x" * (module.MAX_BUFFERED_BYTES // 4)

    async def has_room(size):
        try:
            await asyncio.wait_for(log.wait_for_room(size), 0.05)
        except TimeoutError:
            return False
        return True

    for _ in range(4):
        log.buffer(row(request_body=body))
    assert (await has_room(1000), await has_room(LARGE_BODY_BYTES)) == (True, False)

    while log._bytes < module.MAX_BUFFERED_BYTES_FOR_SMALL:
        log.buffer(row(request_body=body))
    assert not await has_room(1000)

    async with writing(log):
        await asyncio.wait_for(log.wait_for_room(1000), 60)
        await asyncio.wait_for(log.wait_for_room(LARGE_BODY_BYTES), 60)


@pytest.mark.covers("ACT-07")
@pytest.mark.parametrize("delay", [0, 0.01])
async def test_a_row_that_must_not_wait_is_buffered_without_a_database_and_written_later(store, delay):
    unavailable = UnavailableStore(store)
    log = log_over(unavailable, delay=delay)

    async with writing(log):
        assert log.record_soon(row(method="soon"))
        await eventually(lambda: unavailable.attempts)
        unavailable.is_unavailable = False
        [found] = await eventually(lambda: rows(log))

    assert found.method == "soon"


@pytest.mark.covers("ACT-07")
async def test_a_row_that_must_not_wait_is_left_out_if_there_is_no_room(store):
    log = log_over(store)
    for _ in range(4):
        log.buffer(row(error_detail="x" * (module.MAX_BUFFERED_BYTES // 4)))

    assert not log.record_soon(row())
    assert len(log._rows) == 4


async def test_a_commit_without_a_database_raises_unavailable(store):
    with pytest.raises(Unavailable):
        await log_over(UnavailableStore(store)).commit(row())


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
    buffered = [row(method=str(number)) for number in range(5)]
    async with store.begin() as tx:
        await tx.append(buffered)

    found = await rows(log, after=buffered[1].id.upper())

    assert [activity.method for activity in found] == ["2", "3", "4"]
    assert await rows(log, after=buffered[4].id) == []


@pytest.mark.covers("ACT-03")
async def test_an_unknown_foreign_or_malformed_cursor_is_gone(store):
    log = log_over(store)
    foreign = row(B)
    await log.commit(foreign)

    for cursor in (str(uuid4()), foreign.id, "nonsense"):
        with pytest.raises(ActivityCursorGone):
            await rows(log, after=cursor)


@pytest.mark.covers("ACT-03")
async def test_a_cursor_does_not_skip_a_row_that_commits_late(store):
    log = log_over(store)
    early, late = row(method="early"), row(method="late")

    async with store.begin() as first:
        await first.append([early])
        second = asyncio.ensure_future(log.commit(late))
        await asyncio.wait([second], timeout=0.2)
        assert not second.done()
    await second

    assert [activity.method for activity in await rows(log, after=early.id)] == ["late"]


@pytest.mark.covers("ACT-01")
@pytest.mark.parametrize("forwards", [False, True])
async def test_a_page_holds_the_rows_that_fit_one_message(store, forwards):
    log, large = log_over(store, delay=0), "x" * (5 * 1024 * 1024)
    first, *rest = [row(request_body="{}"), *(row(request_body=large) for _ in range(4))]
    for one in (first, *rest):
        await log.record(one)

    found = await log.list_activities(ActivityQuery(workspace_id=A, limit=100, after=first.id if forwards else None))

    assert [one.id for one in found] == [one.id for one in (rest[:2] if forwards else rest[:1:-1])]


async def test_a_row_that_is_too_large_is_returned_without_its_response_body(store):
    log, large = log_over(store, delay=0), "x" * (9 * 1024 * 1024)
    await log.record(row(request_body=large, response_body=large))

    [found] = await log.list_activities(ActivityQuery(workspace_id=A, limit=100))

    assert (found.request_body, found.response_body) == (large, None)
