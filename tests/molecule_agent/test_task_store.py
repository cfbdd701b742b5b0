import pytest
from a2a.server.context import ServerCallContext
from a2a.types import Task, TaskState, TaskStatus

from molecule_agent.delivery_journal import DeliveryJournal
from molecule_agent.message_index import MessageIndex
from molecule_agent.task_store import BoundedTaskStore

HERE = ServerCallContext()


@pytest.fixture
def index(tmp_path) -> MessageIndex:
    return MessageIndex(DeliveryJournal(tmp_path))


def _build_task(number: int, state=TaskState.TASK_STATE_COMPLETED) -> Task:
    return Task(id=f"t{number}", context_id="c", status=TaskStatus(state=state))


def _is_remembered(index: MessageIndex, number: int) -> bool:
    return index.find((f"m{number}", b"")) is not None


async def _finish(store: BoundedTaskStore, index: MessageIndex, numbers) -> None:
    for number in numbers:
        index.add((f"m{number}", b""))
        index.assign_task((f"m{number}", b""), task_id=f"t{number}", context_id="c")
        await store.save(_build_task(number), HERE)


async def test_only_the_last_finished_tasks_and_their_messages_are_kept(index):
    store = BoundedTaskStore(index, max_tasks=2)

    await _finish(store, index, range(4))

    assert [await store.get(f"t{n}", HERE) is not None for n in range(4)] == [False, False, True, True]
    assert [_is_remembered(index, n) for n in range(4)] == [False, False, True, True]


async def test_large_tasks_reduce_the_number_of_kept_tasks(index):
    store = BoundedTaskStore(index, max_bytes=2 * _build_task(0).ByteSize())

    await _finish(store, index, range(3))

    assert [_is_remembered(index, n) for n in range(3)] == [False, True, True]


async def test_the_last_task_is_kept_whatever_its_size(index):
    store = BoundedTaskStore(index, max_bytes=1)

    await _finish(store, index, range(2))

    assert [_is_remembered(index, n) for n in range(2)] == [False, True]


async def test_a_running_task_is_never_dropped(index):
    store = BoundedTaskStore(index, max_tasks=1)
    await store.save(_build_task(9, TaskState.TASK_STATE_WORKING), HERE)

    await _finish(store, index, range(3))

    assert await store.get("t9", HERE) is not None


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        (TaskState.TASK_STATE_WORKING, False),
        (TaskState.TASK_STATE_INPUT_REQUIRED, True),
        (TaskState.TASK_STATE_FAILED, True),
    ],
)
async def test_saving_a_task_marks_its_message_as_started_or_finished(index, state, ended):
    message = index.add(("m1", b""))
    index.assign_task(("m1", b""), task_id="t1", context_id="c")

    await BoundedTaskStore(index).save(_build_task(1, state), HERE)

    assert message.started.is_set()
    assert message.finished.is_set() is ended
