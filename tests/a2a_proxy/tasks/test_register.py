"""Tests of the register of tasks, on a real PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.a2a_proxy.app import service
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import Answer, WorkspaceId
from services.a2a_proxy.queue.model import Delivered, Result
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.tasks.model import OPERATOR, KnownTask, NewTask, TaskOwner
from services.a2a_proxy.tasks.register import MAX_CACHED_TASKS, SEEN_INTERVAL, TRIM_INTERVAL_TASKS, TaskRegister
from services.a2a_proxy.tasks.retention import TaskRetention
from services.a2a_proxy.tasks.store.tasks import TaskStore, build_observer
from services.a2a_proxy.tasks.tables import TASKS
from tests import databases
from tests.a2a_proxy.queue.queue_factory import new_message
from tests.a2a_proxy.queue.queue_steps import accept, claim, settle

TARGET, OTHER = WorkspaceId(str(uuid4())), WorkspaceId(str(uuid4()))
ONE, TWO = TaskOwner(WorkspaceId(str(uuid4()))), TaskOwner(WorkspaceId(str(uuid4())))
TOKEN = TaskOwner(None, "an-org")


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield engine


@pytest.fixture
async def store(engine: AsyncEngine, database_url: str) -> AsyncIterator[TaskStore]:
    async with DriverConnections(database_url, role=service.build_role(), limit=1) as connections:
        yield TaskStore(engine, connections)


def task(task_id: str, owner: TaskOwner = ONE, target: WorkspaceId = TARGET, **fields) -> NewTask:
    return NewTask(target_id=target, task_id=task_id, owner=owner, **fields)


async def count_rows(engine: AsyncEngine, target: WorkspaceId = TARGET) -> int:
    async with engine.connect() as connection:
        return await connection.scalar(sa.select(sa.func.count()).where(TASKS.c.target_id == target))


async def set_seen(engine: AsyncEngine, task_id: str, age: timedelta) -> None:
    async with engine.begin() as connection:
        seen_at = sa.func.now() - age
        await connection.execute(sa.update(TASKS).where(TASKS.c.task_id == task_id).values(seen_at=seen_at))


async def test_every_replica_finds_the_owner_of_a_noted_task(store):
    register = TaskRegister(store)
    for task_id, owner in (("a", ONE), ("b", TOKEN), ("c", OPERATOR)):
        await register.note(task(task_id, owner, queue_id=None))

    for replica in (register, TaskRegister(store)):
        found = await replica.find(TARGET, ["a", "b", "c", "d"])
        assert {id_: known.owner for id_, known in found.items()} == {"a": ONE, "b": TOKEN, "c": OPERATOR}
    assert await TaskRegister(store).find(OTHER, ["a"]) == {}


async def test_the_first_owner_stays_also_when_replicas_and_calls_race(store):
    for number in range(50):
        first, second = TaskRegister(store), TaskRegister(store)
        task_id = str(number)

        await asyncio.gather(
            first.note(task(task_id, ONE)), second.note(task(task_id, TWO)), first.note(task(task_id, TWO))
        )

        owners = {(await replica.find(TARGET, [task_id]))[task_id].owner for replica in (first, second)}
        assert owners == {(await TaskRegister(store).find(TARGET, [task_id]))[task_id].owner}


async def test_batches_that_share_tasks_in_another_order_do_not_wait_for_each_other(store, engine):
    ids = [str(number) for number in range(20)]

    async def note(order: list[str]) -> None:
        async with store.begin() as tx:
            await tx.note([task(id_) for id_ in order])

    for _ in range(25):
        await asyncio.gather(note(ids), note(ids[::-1]))

    assert await count_rows(engine) == len(ids)


@pytest.mark.parametrize(("interval", "old"), [(SEEN_INTERVAL, 1), (timedelta(), 0)])
async def test_a_task_that_is_in_memory_is_not_stored_again_for_a_while(store, engine, interval, old):
    register = TaskRegister(store, seen_interval=interval)
    await register.note(task("a"))
    await set_seen(engine, "a", timedelta(days=1))

    await register.note(task("a"))

    assert await count_old(engine) == old


async def count_old(engine: AsyncEngine) -> int:
    old = TASKS.c.seen_at < sa.func.now() - timedelta(hours=1)
    async with engine.connect() as connection:
        return await connection.scalar(sa.select(sa.func.count()).where(old))


async def test_while_the_database_is_unavailable_the_answer_is_not_lost(database_url):
    async with databases.open_empty_database(database_url, service) as engine:
        url = "postgresql://nobody@127.0.0.1:1/none"
        broken = sa.ext.asyncio.create_async_engine(url.replace(":", "+asyncpg:", 1))
        register = TaskRegister(TaskStore(broken, DriverConnections(url, role=None, limit=1)))

        await register.note(task("a"))

        assert (await register.find(TARGET, ["a"]))["a"].owner == ONE
        assert await count_rows(engine) == 0


async def test_the_memory_is_limited(store):
    register = TaskRegister(store)
    await asyncio.gather(*(register.note(task(str(number))) for number in range(MAX_CACHED_TASKS + 50)))

    assert register.count_cached() == MAX_CACHED_TASKS


async def test_the_tasks_of_one_workspace_are_limited_to_those_that_were_seen_last(store, engine):
    register = TaskRegister(store, max_per_target=10)
    await register.note(task("kept", target=OTHER))
    for start in range(0, TRIM_INTERVAL_TASKS + 100, 100):
        await asyncio.gather(*(register.note(task(str(start + number))) for number in range(100)))

    assert await count_rows(engine) <= 10 + 100
    assert await count_rows(engine, OTHER) == 1
    assert await TaskRegister(store).find(TARGET, ["0"]) == {}


async def test_what_was_not_seen_for_long_is_erased(store, engine):
    register = TaskRegister(store)
    for task_id in ("old", "new"):
        await register.note(task(task_id))
    await set_seen(engine, "old", timedelta(days=8))

    await TaskRetention(store, register, age=timedelta(days=7)).clean()

    assert set(await TaskRegister(store).find(TARGET, ["old", "new"])) == {"new"}


async def test_a_purge_erases_what_a_workspace_worked_on_and_what_it_made(store, engine):
    register = TaskRegister(store)
    purged = ONE.workspace_id
    for number in range(3):
        await register.note(task(f"made-{number}", ONE))
        await register.note(task(f"worked-{number}", TWO, target=purged))
    await register.note(task("other", TWO))

    await TaskRetention(store, register, age=timedelta(days=7)).purge(purged)

    for replica in (register, TaskRegister(store)):
        assert await replica.find(purged, ["worked-0"]) == {}
        assert set(await replica.find(TARGET, ["made-0", "other"])) == {"other"}
    assert (await count_rows(engine, purged), await count_rows(engine)) == (0, 1)


async def test_a_caller_counts_the_tasks_that_it_may_see(store):
    for task_id, owner in (("a", ONE), ("b", ONE), ("c", TWO), ("d", TOKEN), ("e", OPERATOR)):
        await TaskRegister(store).note(task(task_id, owner, context_id="x" if task_id in "ac" else None))
    register = TaskRegister(store)

    counts = [
        await register.count(TARGET, caller, workspaces, context_id)
        for caller, workspaces, context_id in [
            (ONE, [], None),
            (ONE, [], "x"),
            (TOKEN, [TWO.workspace_id], None),
            (TOKEN, [], None),
            (OPERATOR, [], None),
        ]
    ]

    assert counts == [2, 1, 2, 1, 5]


@pytest.mark.parametrize(
    ("result", "task_id"),
    [
        ({"kind": "task", "id": "t", "status": {"state": "working"}}, "t"),
        ({"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_COMPLETED"}}}, "t"),
        ({"kind": "message", "messageId": "m", "parts": []}, None),
    ],
)
async def test_the_task_in_the_answer_to_a_queued_message_is_noted_with_the_answer(engine, store, result, task_id):
    queue = QueueStore(engine)
    queue.add_observer(build_observer(TaskRegister(store).follow_queue))
    message = new_message(TARGET, caller_id=ONE.workspace_id)
    await accept(queue, message)
    (leased,) = await claim(queue, TARGET)

    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    await settle(queue, leased, Delivered(Answer(status=200, body=body), Result.OK))

    found = await TaskRegister(store).find(TARGET, ["t"])
    expected = {} if task_id is None else {task_id: KnownTask(owner=ONE, queue_id=message.id)}
    assert found == expected
