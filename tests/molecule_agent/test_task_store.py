import pytest
from a2a.server.context import ServerCallContext
from a2a.types import Task, TaskState, TaskStatus

from molecule_agent.message_index import MessageIndex
from molecule_agent.task_store import BoundedTaskStore

HERE = ServerCallContext()


def _task(number: int, state=TaskState.TASK_STATE_COMPLETED) -> Task:
    return Task(id=f"t{number}", context_id="c", status=TaskStatus(state=state))


def _remembered(memory: MessageIndex, number: int) -> bool:
    return memory.find((f"m{number}", b"")) is not None


async def _end(store: BoundedTaskStore, memory: MessageIndex, numbers) -> None:
    for number in numbers:
        memory.add((f"m{number}", b""))
        memory.assign((f"m{number}", b""), f"t{number}")
        await store.save(_task(number), HERE)


async def test_only_the_last_ended_tasks_are_kept_and_their_messages_remembered():
    memory = MessageIndex()
    store = BoundedTaskStore(memory, most=2)

    await _end(store, memory, range(4))

    assert [await store.get(f"t{n}", HERE) is not None for n in range(4)] == [False, False, True, True]
    assert [_remembered(memory, n) for n in range(4)] == [False, False, True, True]


async def test_large_tasks_leave_less_room():
    memory = MessageIndex()
    store = BoundedTaskStore(memory, largest=2 * _task(0).ByteSize())

    await _end(store, memory, range(3))

    assert [_remembered(memory, n) for n in range(3)] == [False, True, True]


async def test_the_last_task_is_kept_however_large():
    memory = MessageIndex()
    store = BoundedTaskStore(memory, largest=1)

    await _end(store, memory, range(2))

    assert [_remembered(memory, n) for n in range(2)] == [False, True]


async def test_work_under_way_is_never_dropped():
    memory = MessageIndex()
    store = BoundedTaskStore(memory, most=1)
    await store.save(_task(9, TaskState.TASK_STATE_WORKING), HERE)

    await _end(store, memory, range(3))

    assert await store.get("t9", HERE) is not None


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        (TaskState.TASK_STATE_WORKING, False),
        (TaskState.TASK_STATE_INPUT_REQUIRED, True),
        (TaskState.TASK_STATE_FAILED, True),
    ],
)
async def test_whoever_waits_for_a_message_learns_how_far_it_is(state, ended):
    memory = MessageIndex()
    handed = memory.add(("m1", b""))
    memory.assign(("m1", b""), "t1")

    await BoundedTaskStore(memory).save(_task(1, state), HERE)

    assert handed.begun.is_set()
    assert handed.ended.is_set() is ended
