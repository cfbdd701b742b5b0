"""Tests of the slots of targets."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.capacity import Capacity
from services.a2a_proxy.model import Route, Status, WorkspaceId

TARGET = WorkspaceId(str(uuid4()))

A_MOMENT = timedelta(milliseconds=10)


def build_route(slots: int) -> Route:
    return Route(workspace_id=TARGET, status=Status.ONLINE, address="http://a/", max_concurrent_tasks=slots)


async def start_waiting(capacity: Capacity, route: Route, within: timedelta | None = None) -> asyncio.Task[bool]:
    """Start a caller that waits for a slot."""
    waiting = asyncio.create_task(capacity.take(route, within))
    await asyncio.sleep(0)
    return waiting


@pytest.mark.covers("A2A-31")
async def test_no_more_slots_are_given_than_the_agent_has():
    capacity, route = Capacity(), build_route(3)

    assert capacity.take_free(route, 10) == 3
    assert not capacity.has_room(route)
    assert not await capacity.take(route, A_MOMENT)

    capacity.release(TARGET)

    assert await capacity.take(route, A_MOMENT)


async def test_slots_are_given_in_the_order_of_the_requests():
    capacity, route = Capacity(), build_route(1)
    await capacity.take(route)
    first, second = [await start_waiting(capacity, route) for _ in range(2)]

    capacity.release(TARGET)

    assert await first
    assert not second.done()
    assert capacity.take_free(route, 1) == 0
    capacity.release(TARGET)
    assert await second


async def test_a_raised_limit_serves_those_who_wait():
    capacity, route = Capacity(), build_route(1)
    await capacity.take(route)
    waiting = await start_waiting(capacity, route)

    capacity.note_route(build_route(2))

    assert await waiting


async def test_tasks_that_the_plane_has_not_given_to_the_agent_take_slots():
    capacity, route = Capacity(), build_route(2)
    capacity.note_active_tasks(TARGET, 2)

    assert not capacity.has_room(route)
    assert not await capacity.take(route, A_MOMENT)

    capacity.note_active_tasks(TARGET, 1)

    assert capacity.take_free(route, 2) == 1


async def test_a_task_of_the_plane_that_the_agent_reports_is_counted_once():
    capacity, route = Capacity(), build_route(2)
    capacity.take_free(route, 1)

    capacity.note_active_tasks(TARGET, 1)

    assert capacity.take_free(route, 2) == 1


async def test_tasks_of_an_ended_instance_take_no_slots():
    capacity, route = Capacity(), build_route(1)
    capacity.note_active_tasks(TARGET, 1)

    capacity.forget_other_tasks(TARGET)

    assert capacity.has_room(route)


async def test_a_target_that_takes_no_messages_ends_the_waiting_without_a_slot():
    capacity, route = Capacity(), build_route(1)
    capacity.note_active_tasks(TARGET, 1)
    waiting = await start_waiting(capacity, route)

    capacity.end_waiting(TARGET)

    assert not await waiting
    capacity.note_active_tasks(TARGET, 0)
    assert capacity.take_free(route, 5) == 1


async def test_a_removed_target_ends_the_waiting():
    capacity, route = Capacity(), build_route(1)
    await capacity.take(route)
    waiting = await start_waiting(capacity, route)

    capacity.drop(TARGET)

    assert not await waiting


async def test_a_caller_that_is_cancelled_as_a_slot_becomes_free_leaves_the_slot_to_others():
    capacity, route = Capacity(), build_route(1)
    await capacity.take(route)
    cancelled = await start_waiting(capacity, route)

    cancelled.cancel()
    capacity.release(TARGET)  # before the cancelled caller runs

    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert capacity.take_free(route, 5) == 1


async def test_a_caller_that_is_cancelled_with_its_slot_gives_it_back():
    capacity, route = Capacity(), build_route(1)
    await capacity.take(route)
    cancelled = await start_waiting(capacity, route)

    capacity.release(TARGET)
    cancelled.cancel()

    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert capacity.take_free(route, 5) == 1


@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.sampled_from(["take", "wait", "cancel", "release", "end"]), max_size=40),
)
def test_slots_are_neither_lost_nor_invented(limit: int, steps: Sequence[str]):
    asyncio.run(run_steps(limit, steps))


async def run_steps(limit: int, steps: Sequence[str]) -> None:
    """Take and release slots in some order; afterwards all of them are free again."""
    capacity, route = Capacity(), build_route(limit)
    held, waiting, cancelled = 0, [], []
    for step in steps:
        match step:
            case "take":
                held += capacity.take_free(route, 1)
            case "wait":
                waiting.append(await start_waiting(capacity, route))
            case "cancel" if waiting:
                cancelled.append(waiting.pop())
                cancelled[-1].cancel()
            case "release" if held:
                held -= 1
                capacity.release(TARGET)
            case "end":
                capacity.end_waiting(TARGET)
        done = [task for task in waiting if task.done()]
        held += sum(task.result() for task in done)
        waiting = [task for task in waiting if not task.done()]
        assert held <= limit
    for task in waiting:
        task.cancel()
    held += sum(1 for found in await asyncio.gather(*waiting, *cancelled, return_exceptions=True) if found is True)
    capacity.release(TARGET, held)
    assert capacity.take_free(route, 100) == limit
