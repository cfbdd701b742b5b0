"""Tests that streams are woken by every change, without looking more often than once a second."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from molecule_a2a.model import Dialect
from services.a2a_proxy.app import service
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.errors import AgentBusy
from services.a2a_proxy.model import Deadline, StreamInterrupted, WorkspaceId
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import LeaseKind, MessageState
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.tasks.events import KEEPALIVE
from services.a2a_proxy.tasks.model import Subscription
from services.a2a_proxy.tasks.queued_tasks import QueuedTasks
from services.a2a_proxy.tasks.store.tasks import TaskStore
from services.a2a_proxy.tasks.watching import MAX_WATCHERS, MAX_WATCHERS_PER_TARGET, QueueWatch
from tests import databases
from tests.a2a_proxy.queue.queue_factory import new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, change, claim

LONG = timedelta(seconds=10)


class CountingStore(TaskStore):
    """Counts the transactions."""

    def __init__(self, engine: AsyncEngine, connections: DriverConnections) -> None:
        super().__init__(engine, connections)
        self.opened = 0

    def begin(self):
        self.opened += 1
        return super().begin()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield engine


@pytest.fixture
def queue(engine: AsyncEngine) -> QueueStore:
    return QueueStore(engine)


@pytest.fixture
async def store(engine: AsyncEngine, database_url: str) -> AsyncIterator[CountingStore]:
    async with DriverConnections(database_url, role=service.build_role(), limit=1) as connections:
        yield CountingStore(engine, connections)


@pytest.fixture
async def watch(store) -> AsyncIterator[QueueWatch]:
    watch = QueueWatch(store)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(watch.follow())
        yield watch
        following.cancel()


async def add_message(queue: QueueStore, target: WorkspaceId) -> str:
    message = new_message(target)
    await accept(queue, message)
    return message.id


async def test_a_change_is_seen_whether_it_was_made_before_or_after_the_wait(queue, watch):
    target = new_id()
    id_ = await add_message(queue, target)
    with watch.watch(target, id_) as watcher:
        watcher.seen = MessageState.QUEUED, 0
        await claim(queue, target, kind=LeaseKind.INBOX)
        watch.wake()
        assert await watcher.wait(LONG)

        watcher.seen = MessageState.DISPATCHING, 1
        waiting = asyncio.create_task(watcher.wait(LONG))
        await change(queue, id_, lambda message, now: rules.drop(message, "", now=now))  # nobody is notified
        assert await waiting


async def test_without_changes_nobody_is_woken_and_the_database_is_asked_once_a_second(queue, store, watch):
    target = new_id()
    id_ = await add_message(queue, target)
    with watch.watch(target, id_) as watcher:
        watcher.seen = MessageState.QUEUED, 0

        assert not await watcher.wait(timedelta(seconds=1.5))

    assert store.opened <= 2


async def test_nothing_is_looked_at_while_nobody_watches(store, watch):
    for _ in range(10):
        watch.wake()
        await asyncio.sleep(0)

    assert store.opened == 0


async def test_the_watchers_of_a_workspace_and_of_all_are_limited(store):
    watch, target = QueueWatch(store), new_id()
    with ExitStack() as watched:
        for number in range(MAX_WATCHERS_PER_TARGET - 1):
            watched.enter_context(watch.watch(target, str(number)))
        with watch.watch(target, "last"), pytest.raises(AgentBusy):
            watch.check_room(target)
        watch.check_room(target)
        for number in range(MAX_WATCHERS - MAX_WATCHERS_PER_TARGET + 1):
            watched.enter_context(watch.watch(new_id(), str(number)))
        with pytest.raises(AgentBusy):
            watch.check_room(new_id())
    watch.check_room(target)


async def test_a_silent_stream_sends_comments_and_ends_at_its_deadline(queue, store, watch):
    target = new_id()
    id_ = await add_message(queue, target)
    subscription = Subscription(target_id=target, queue_id=id_, task_id=id_, request_id=b"1", dialect=Dialect.LEGACY)
    deadline = Deadline(asyncio.get_running_loop().time() + 0.5, timedelta(seconds=0.5))
    tasks = QueuedTasks(queue, store, watch, keepalive_interval=timedelta(seconds=0.1))

    stream = tasks.follow(subscription, deadline=deadline)

    assert (await anext(stream)).startswith(b"data: ")
    assert [await anext(stream) for _ in range(2)] == [KEEPALIVE] * 2
    with pytest.raises(StreamInterrupted):
        await _read_to_end(stream)


async def _read_to_end(stream: AsyncGenerator[bytes, None]) -> None:
    async for event in stream:
        assert event == KEEPALIVE


async def test_a_message_that_is_erased_ends_its_stream(queue, engine, store, watch):
    target = new_id()
    id_ = await add_message(queue, target)
    subscription = Subscription(target_id=target, queue_id=id_, task_id=id_, request_id=b"1", dialect=Dialect.LEGACY)
    stream = QueuedTasks(queue, store, watch).follow(subscription)
    assert b'"submitted"' in await anext(stream)

    async with queue.begin() as tx:
        await tx.purge(target, limit=10)

    with pytest.raises(StreamInterrupted):
        await anext(stream)
