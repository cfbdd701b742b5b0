import asyncio
import threading

import pytest

from services.chassis.large_bodies import LARGE_BODY_BYTES, run_by_size
from tests.waiting import eventually


@pytest.mark.covers("TXT-04")
@pytest.mark.parametrize(
    ("size", "is_elsewhere"), [(0, False), (LARGE_BODY_BYTES - 1, False), (LARGE_BODY_BYTES, True)]
)
async def test_only_work_on_large_bodies_leaves_the_event_loop(size, is_elsewhere):
    thread = await run_by_size(size, threading.get_ident)

    assert (thread != threading.get_ident()) is is_elsewhere


@pytest.mark.covers("TXT-04")
async def test_the_event_loop_goes_on_while_one_large_body_at_a_time_is_worked_on():
    started, go = threading.Event(), threading.Event()
    active: list[int] = []

    def work(number: int) -> int:
        active.append(number)
        started.set()
        go.wait(10)
        most = len(active)
        active.remove(number)
        return most

    large = [asyncio.ensure_future(run_by_size(LARGE_BODY_BYTES, work, number)) for number in range(3)]
    await eventually(started.is_set)
    assert await run_by_size(1, lambda: "small") == "small"
    go.set()

    assert await asyncio.gather(*large) == [1, 1, 1]


@pytest.mark.parametrize("size", [1, LARGE_BODY_BYTES])
async def test_an_error_of_the_work_is_raised(size):
    with pytest.raises(ValueError, match="invalid literal"):
        await run_by_size(size, int, "x")
