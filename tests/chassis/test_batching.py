import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.batching import EARLY_BATCH_SIZE, Batcher


class SkippingLoop(asyncio.SelectorEventLoop):
    """Time stands still, and jumps to whatever is due next."""

    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


class Work:
    """Answers each number with its double once it is let go on; notes every batch."""

    def __init__(self, *, refused=frozenset()):
        self.batches = []
        self.under_way = self.most = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.refused = refused

    async def __call__(self, numbers):
        self.batches.append(tuple(numbers))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.go_on.wait()
        finally:
            self.under_way -= 1
        return [KeyError(number) if number in self.refused else number * 2 for number in numbers]


async def steps(count):
    """Let everything else go on for so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_asked_in_the_same_moment_is_one_batch_and_each_hears_its_own_answer():
    work = Work()
    gathering = Batcher(work, capacity=100)

    assert await asyncio.gather(*map(gathering.submit, range(40))) == [number * 2 for number in range(40)]
    assert work.batches == [tuple(range(40))]


async def test_who_comes_while_a_batch_is_under_way_makes_up_the_next():
    work = Work()
    gathering = Batcher(work, capacity=100)
    work.go_on.clear()
    first = asyncio.ensure_future(gathering.submit(1))
    await steps(5)
    late = [asyncio.ensure_future(gathering.submit(number)) for number in (2, 3)]
    await steps(5)
    work.go_on.set()

    assert await asyncio.gather(first, *late) == [2, 4, 6]
    assert work.batches == [(1,), (2, 3)]


async def test_a_batch_takes_no_more_than_its_capacity_and_the_order_stays():
    work = Work()
    gathering = Batcher(work, capacity=10, weigh=lambda number: number)

    await asyncio.gather(*map(gathering.submit, [4, 4, 4, 9, 1]))

    assert work.batches == [(4, 4, 4), (9, 1)]


async def test_no_more_batches_are_under_way_than_allowed():
    work = Work()
    gathering = Batcher(work, capacity=1, at_once=2)
    work.go_on.clear()
    asked = [asyncio.ensure_future(gathering.submit(number)) for number in range(6)]
    await steps(20)
    assert work.batches == [(0,), (1,)]
    work.go_on.set()
    await asyncio.gather(*asked)

    assert work.most == 2
    assert [number for batch in work.batches for number in batch] == list(range(6))


async def test_what_the_work_says_of_one_item_its_asker_alone_raises():
    gathering = Batcher(Work(refused={2}), capacity=100)

    answers = await asyncio.gather(*map(gathering.submit, [1, 2, 3]), return_exceptions=True)

    assert [answers[0], type(answers[1]), answers[2]] == [2, KeyError, 6]


async def test_what_the_work_raises_everybody_raises_and_the_next_batch_is_not_harmed():
    failing = True

    async def work(numbers):
        if failing:
            raise RuntimeError
        return numbers

    gathering = Batcher(work, capacity=100)
    answers = await asyncio.gather(*map(gathering.submit, [1, 2, 3]), return_exceptions=True)
    failing = False

    assert [type(answer) for answer in answers] == [RuntimeError] * 3
    assert await gathering.submit(4) == 4


def test_batches_keep_their_distance_and_whoever_is_alone_after_it_waits_for_nobody():
    began = []

    async def work(numbers):
        began.append((asyncio.get_running_loop().time(), tuple(numbers)))
        return numbers

    async def play():
        gathering = Batcher(work, capacity=2, at_once=5, pause=0.25)
        await asyncio.gather(*map(gathering.submit, range(5)))
        await asyncio.sleep(10)
        await gathering.submit(9)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(play())
    assert began == [(0.0, (0, 1)), (0.25, (2, 3)), (0.5, (4,)), (10.5, (9,))]


def test_plenty_wait_for_nothing():
    began = []

    async def work(numbers):
        began.append((asyncio.get_running_loop().time(), len(numbers)))
        return numbers

    async def late(gathering, number):
        await asyncio.sleep(0.1)
        await gathering.submit(number)

    async def play():
        gathering = Batcher(work, capacity=100, at_once=5, pause=0.25)
        await gathering.submit(0)
        few = [gathering.submit(number) for number in range(EARLY_BATCH_SIZE - 1)]
        await asyncio.gather(*few, late(gathering, EARLY_BATCH_SIZE))
        await gathering.submit(1)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(play())
    assert began == [(0.0, 1), (0.1, EARLY_BATCH_SIZE), (0.35, 1)]


@settings(max_examples=300, deadline=None)
@given(
    leaving=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=4),
    at_once=st.integers(1, 3),
    capacity=st.integers(1, 6),
)
def test_whoever_leaves_at_whatever_moment_takes_nobody_along(leaving, at_once, capacity):
    async def play():
        work = Work()
        gathering = Batcher(work, capacity=capacity, at_once=at_once)
        work.go_on.clear()
        asked = [asyncio.ensure_future(gathering.submit(number)) for number in range(6)]
        gone = set()
        for number, wait in leaving:
            await steps(wait)
            asked[number].cancel()
            gone.add(number)
        work.go_on.set()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*asked, return_exceptions=True)
        stayed = [number for number in range(6) if number not in gone]
        assert [answers[number] for number in stayed] == [number * 2 for number in stayed]
        assert all(isinstance(answers[number], asyncio.CancelledError) for number in gone)
        assert (gathering._under_way, gathering._gatherer, len(gathering._waiting)) == (0, None, 0)
        assert work.most <= at_once

    asyncio.run(play())


def test_it_needs_no_task_of_its_own():
    async def play():
        assert await Batcher(Work(), capacity=1).submit(1) == 2
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(play()) == set()


@pytest.mark.parametrize("attempt", range(20))
async def test_answers_never_reach_the_wrong_asker(attempt):
    gathering = Batcher(Work(), capacity=3 + attempt % 5, at_once=1 + attempt % 3)

    async def ask(number):
        await steps(number * 7 % (attempt + 2))
        return await gathering.submit(number)

    assert await asyncio.gather(*map(ask, range(30))) == [number * 2 for number in range(30)]
