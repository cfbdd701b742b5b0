import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.a2a_proxy import body_budget
from services.a2a_proxy.body_budget import BodyBudget
from services.a2a_proxy.model import WorkspaceId
from tests.waiting import eventually

A, B, C = WorkspaceId("a"), WorkspaceId("b"), WorkspaceId("c")


def budget(max_bytes: int = 100, *, max_body_bytes: int = 50, wait_seconds: float = 5) -> BodyBudget:
    return BodyBudget(max_bytes, max_body_bytes=max_body_bytes, wait_seconds=wait_seconds)


async def start(budget: BodyBudget, target: WorkspaceId, size: int) -> asyncio.Task:
    """Begin a reservation that has to wait."""
    waiting = budget.waiting
    task = asyncio.ensure_future(budget.reserve(target, size))
    await eventually(lambda: budget.waiting == waiting + 1)
    return task


async def test_a_reservation_is_granted_at_once_while_there_is_room():
    bodies = budget()

    first = await bodies.reserve(A, 50)
    await bodies.reserve(B, 50)

    assert bodies.used_bytes == 100
    bodies.release(first)
    assert bodies.used_bytes == 50


async def test_reservations_are_granted_in_their_order():
    bodies = budget()
    first, second = await bodies.reserve(A, 50), await bodies.reserve(B, 50)
    large = await start(bodies, C, 50)
    small = await start(bodies, A, 1)

    assert bodies.waiting == 2
    bodies.release(first)
    await large
    assert not small.done()
    bodies.release(second)
    await small


async def test_a_reservation_that_waits_for_the_share_of_its_target_delays_no_other_target():
    bodies = budget()
    held = await bodies.reserve(A, 50)
    waiting = await start(bodies, A, 50)

    await asyncio.wait_for(bodies.reserve(B, 50), 1)

    assert not waiting.done()
    bodies.release(held)
    await waiting


async def test_a_reservation_that_waits_too_long_is_refused_and_holds_nothing():
    bodies = budget(wait_seconds=0.1)
    held = await bodies.reserve(A, 50)

    with pytest.raises(TimeoutError):
        await bodies.reserve(A, 50)

    assert (bodies.waiting, bodies.used_bytes) == (0, 50)
    bodies.release(held)
    assert (bodies.waiting, bodies.used_bytes) == (0, 0)


async def test_too_many_waiting_reservations_are_refused_at_once():
    bodies = budget()
    await bodies.reserve(A, 50)
    targets = [WorkspaceId(str(number % 8)) for number in range(body_budget.MAX_WAITING)]
    held = await bodies.reserve(B, 50)
    waiting = [asyncio.ensure_future(bodies.reserve(target, 50)) for target in targets]
    await eventually(lambda: bodies.waiting == body_budget.MAX_WAITING)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bodies.reserve(C, 1), 1)

    assert bodies.used_bytes == held.size * 2
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_the_waiting_reservations_of_one_target_leave_room_for_those_of_others():
    bodies = budget()
    await bodies.reserve(A, 50)
    waiting = [asyncio.ensure_future(bodies.reserve(A, 50)) for _ in range(body_budget.MAX_WAITING_PER_TARGET)]
    await eventually(lambda: bodies.waiting == body_budget.MAX_WAITING_PER_TARGET)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bodies.reserve(A, 1), 1)
    await asyncio.wait_for(bodies.reserve(B, 50), 1)

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_target_may_always_have_one_body_of_the_largest_size():
    bodies = budget(10, max_body_bytes=50)

    await asyncio.wait_for(bodies.reserve(A, 50), 1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([A, B, C]), st.integers(1, 50), st.sampled_from(["release", "cancel", "keep"])),
        max_size=30,
    )
)
def test_the_budget_is_never_exceeded_and_everything_is_returned(steps):
    async def run() -> None:
        bodies = budget(wait_seconds=60)
        pending: list[asyncio.Task] = []

        async def settle() -> None:
            for _ in range(3):
                await asyncio.sleep(0)

        for target, size, then in steps:
            pending.append(asyncio.ensure_future(bodies.reserve(target, size)))
            await settle()
            assert bodies.used_bytes <= 100
            assert all(used <= 50 for used in bodies._used_by.values())
            if then == "cancel":
                pending.pop().cancel() if not pending[-1].done() else bodies.release(pending.pop().result())
            elif then == "release" and (done := [task for task in pending if task.done()]):
                pending.remove(done[0])
                bodies.release(done[0].result())
            await settle()
        while pending:
            await settle()
            done = [task for task in pending if task.done()]
            assert done, "a reservation waits although nothing is held"
            for task in done:
                pending.remove(task)
                bodies.release(task.result())
        assert (bodies.used_bytes, bodies._used_by) == (0, {})

    asyncio.run(run())
