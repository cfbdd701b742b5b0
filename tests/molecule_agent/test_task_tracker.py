import asyncio

import pytest

from molecule_agent.task_tracker import ERROR_RATE_WINDOW, TaskTracker
from tests.waiting import eventually


@pytest.mark.covers("AGT-12")
async def test_no_task_remains_when_three_tasks_fail_are_cancelled_and_succeed():
    tracker = TaskTracker()
    release = asyncio.Event()

    async def one(end) -> None:
        with tracker.track("something"):
            await release.wait()
            await end()

    async def fails() -> None:
        raise ValueError

    async def waits() -> None:
        await asyncio.Event().wait()

    async def succeeds() -> None:
        return

    tasks = [asyncio.ensure_future(one(end)) for end in (fails, waits, succeeds)]
    await eventually(lambda: tracker.active_tasks == 3)
    active = tracker.active_tasks
    release.set()
    await eventually(lambda: tracker.active_tasks == 1)
    tasks[1].cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)

    assert active == 3
    assert [type(end) for end in ends] == [ValueError, asyncio.CancelledError, type(None)]
    assert tracker.active_tasks == 0
    assert tracker.current_task == ""
    assert tracker.error_rate == 0.5
    await tracker.wait_until_idle()


def test_the_current_task_is_the_first_line_of_the_latest_message():
    tracker = TaskTracker()

    with tracker.track("first"), tracker.track("\n  second\nand more " + "x" * 300):
        assert tracker.current_task == "second"
    with tracker.track("y" * 300):
        assert tracker.current_task == "y" * 200
    with tracker.track(""):
        assert tracker.current_task == ""
        assert tracker.active_tasks == 1


def test_old_failures_do_not_count_in_the_error_rate():
    tracker = TaskTracker()
    with pytest.raises(ValueError, match="no"), tracker.track(""):
        raise ValueError("no")

    for _ in range(ERROR_RATE_WINDOW):
        assert tracker.error_rate > 0
        with tracker.track(""):
            pass

    assert tracker.error_rate == 0


def test_the_start_and_the_end_of_a_task_set_the_change_event():
    tracker = TaskTracker()

    with tracker.track(""):
        assert tracker.changed.is_set()
        tracker.changed.clear()

    assert tracker.changed.is_set()
