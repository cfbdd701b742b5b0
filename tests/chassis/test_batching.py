import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.batching import EARLY_BATCH_SIZE, Batcher
from services.chassis.errors import Unavailable


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still and jumps to the next scheduled callback."""

    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


class DoublingWork:
    """Doubles each number once `go_on` is set, and records every batch."""

    def __init__(self, *, failing=frozenset()):
        self.batches = []
        self.running = self.most_running = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failing = failing

    async def __call__(self, numbers):
        self.batches.append(tuple(numbers))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.go_on.wait()
        finally:
            self.running -= 1
        return [KeyError(number) if number in self.failing else number * 2 for number in numbers]


async def run_turns(count):
    """Let other tasks run for this many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_simultaneous_submissions_form_one_batch_and_get_their_own_results():
    work = DoublingWork()
    batcher = Batcher(work, capacity=100)

    assert await asyncio.gather(*map(batcher.submit, range(40))) == [number * 2 for number in range(40)]
    assert work.batches == [tuple(range(40))]


async def test_submissions_during_a_batch_form_the_next_one():
    work = DoublingWork()
    batcher = Batcher(work, capacity=100)
    work.go_on.clear()
    first = asyncio.ensure_future(batcher.submit(1))
    await run_turns(5)
    late = [asyncio.ensure_future(batcher.submit(number)) for number in (2, 3)]
    await run_turns(5)
    work.go_on.set()

    assert await asyncio.gather(first, *late) == [2, 4, 6]
    assert work.batches == [(1,), (2, 3)]


async def test_a_batch_has_at_most_its_capacity_and_keeps_the_order():
    work = DoublingWork()
    batcher = Batcher(work, capacity=10, weigh=lambda number: number)

    await asyncio.gather(*map(batcher.submit, [4, 4, 4, 9, 1]))

    assert work.batches == [(4, 4, 4), (9, 1)]


async def test_no_more_batches_run_concurrently_than_allowed():
    work = DoublingWork()
    batcher = Batcher(work, capacity=1, max_concurrent=2)
    work.go_on.clear()
    tasks = [asyncio.ensure_future(batcher.submit(number)) for number in range(6)]
    await run_turns(20)
    assert work.batches == [(0,), (1,)]
    work.go_on.set()
    await asyncio.gather(*tasks)

    assert work.most_running == 2
    assert [number for batch in work.batches for number in batch] == list(range(6))


async def test_an_error_of_one_item_is_raised_to_its_caller_only():
    batcher = Batcher(DoublingWork(failing={2}), capacity=100)

    answers = await asyncio.gather(*map(batcher.submit, [1, 2, 3]), return_exceptions=True)

    assert [answers[0], type(answers[1]), answers[2]] == [2, KeyError, 6]


async def test_an_error_of_a_batch_is_raised_to_all_its_callers_only():
    failing = True

    async def work(numbers):
        if failing:
            raise RuntimeError
        return numbers

    batcher = Batcher(work, capacity=100)
    answers = await asyncio.gather(*map(batcher.submit, [1, 2, 3]), return_exceptions=True)
    failing = False

    assert [type(answer) for answer in answers] == [RuntimeError] * 3
    assert await batcher.submit(4) == 4


async def test_an_item_that_breaks_its_batch_fails_alone():
    batches = []

    async def work(numbers):
        batches.append(tuple(numbers))
        if 2 in numbers:
            raise ValueError
        return [number * 2 for number in numbers]

    answers = await asyncio.gather(*map(Batcher(work, capacity=100).submit, [1, 2, 3]), return_exceptions=True)

    assert [answers[0], type(answers[1]), answers[2]] == [2, ValueError, 6]
    assert batches == [(1, 2, 3), (1,), (2,), (3,)]


async def test_a_service_error_of_a_batch_is_raised_to_all_without_another_try():
    batches = []

    async def work(numbers):
        batches.append(tuple(numbers))
        raise Unavailable

    answers = await asyncio.gather(*map(Batcher(work, capacity=100).submit, [1, 2]), return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unavailable] * 2
    assert batches == [(1, 2)]


def test_batches_keep_the_interval_and_a_later_submission_does_not_wait():
    began = []

    async def work(numbers):
        began.append((asyncio.get_running_loop().time(), tuple(numbers)))
        return numbers

    async def scenario():
        batcher = Batcher(work, capacity=2, max_concurrent=5, interval_seconds=0.25)
        await asyncio.gather(*map(batcher.submit, range(5)))
        await asyncio.sleep(10)
        await batcher.submit(9)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(scenario())
    assert began == [(0.0, (0, 1)), (0.25, (2, 3)), (0.5, (4,)), (10.5, (9,))]


def test_a_large_batch_does_not_wait_for_the_interval():
    began = []

    async def work(numbers):
        began.append((asyncio.get_running_loop().time(), len(numbers)))
        return numbers

    async def late(batcher, number):
        await asyncio.sleep(0.1)
        await batcher.submit(number)

    async def scenario():
        batcher = Batcher(work, capacity=100, max_concurrent=5, interval_seconds=0.25)
        await batcher.submit(0)
        few = [batcher.submit(number) for number in range(EARLY_BATCH_SIZE - 1)]
        await asyncio.gather(*few, late(batcher, EARLY_BATCH_SIZE))
        await batcher.submit(1)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(scenario())
    assert began == [(0.0, 1), (0.1, EARLY_BATCH_SIZE), (0.35, 1)]


@settings(max_examples=300, deadline=None)
@given(
    cancellations=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=4),
    max_concurrent=st.integers(1, 3),
    capacity=st.integers(1, 6),
)
def test_a_submission_that_is_cancelled_at_any_time_does_not_affect_the_others(cancellations, max_concurrent, capacity):
    async def scenario():
        work = DoublingWork()
        batcher = Batcher(work, capacity=capacity, max_concurrent=max_concurrent)
        work.go_on.clear()
        tasks = [asyncio.ensure_future(batcher.submit(number)) for number in range(6)]
        cancelled = set()
        for number, wait in cancellations:
            await run_turns(wait)
            tasks[number].cancel()
            cancelled.add(number)
        work.go_on.set()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        others = [number for number in range(6) if number not in cancelled]
        assert [answers[number] for number in others] == [number * 2 for number in others]
        assert all(isinstance(answers[number], asyncio.CancelledError) for number in cancelled)
        assert (batcher._running_batches, batcher._collector, len(batcher._queue)) == (0, None, 0)
        assert work.most_running <= max_concurrent

    asyncio.run(scenario())


def test_a_batcher_starts_no_task():
    async def scenario():
        assert await Batcher(DoublingWork(), capacity=1).submit(1) == 2
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(scenario()) == set()


@pytest.mark.parametrize("attempt", range(20))
async def test_every_caller_gets_the_result_of_its_item(attempt):
    batcher = Batcher(DoublingWork(), capacity=3 + attempt % 5, max_concurrent=1 + attempt % 3)

    async def ask(number):
        await run_turns(number * 7 % (attempt + 2))
        return await batcher.submit(number)

    assert await asyncio.gather(*map(ask, range(30))) == [number * 2 for number in range(30)]
