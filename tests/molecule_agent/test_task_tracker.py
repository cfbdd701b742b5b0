import asyncio

import pytest

from molecule_agent.task_tracker import ERROR_RATE_WINDOW, TaskTracker
from tests.waiting import eventually


@pytest.mark.covers("AGT-12")
async def test_three_tasks_at_once_of_which_one_raises_and_one_is_cancelled_leave_none():
    work = TaskTracker()
    release = asyncio.Event()

    async def one(end) -> None:
        with work.task("something"):
            await release.wait()
            await end()

    async def fails() -> None:
        raise ValueError

    async def waits() -> None:
        await asyncio.Event().wait()

    async def succeeds() -> None:
        return

    tasks = [asyncio.ensure_future(one(end)) for end in (fails, waits, succeeds)]
    await eventually(lambda: work.active == 3)
    active = work.active
    release.set()
    await eventually(lambda: work.active == 1)
    tasks[1].cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)

    assert active == 3
    assert [type(end) for end in ends] == [ValueError, asyncio.CancelledError, type(None)]
    assert work.active == 0
    assert work.current == ""
    assert work.error_rate == 0.5
    await work.idle()


def test_the_current_task_is_the_first_line_of_the_message_that_came_last():
    work = TaskTracker()

    with work.task("first"), work.task("\n  second\nand more " + "x" * 300):
        assert work.current == "second"
    with work.task("y" * 300):
        assert work.current == "y" * 200
    with work.task(""):
        assert work.current == ""
        assert work.active == 1


def test_old_failures_are_forgotten():
    work = TaskTracker()
    with pytest.raises(ValueError, match="no"), work.task(""):
        raise ValueError("no")

    for _ in range(ERROR_RATE_WINDOW):
        assert work.error_rate > 0
        with work.task(""):
            pass

    assert work.error_rate == 0


def test_a_change_is_told():
    work = TaskTracker()

    with work.task(""):
        assert work.changed.is_set()
        work.changed.clear()

    assert work.changed.is_set()
