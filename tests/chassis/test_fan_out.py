import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import ResourceExhausted
from services.chassis.fan_out import FanOut, Subscription
from tests.skipping_loop import run_skipping

NOW = timedelta()


async def test_every_subscriber_reads_every_item_in_order():
    fan_out = FanOut(capacity=10)
    with fan_out.subscribe() as one, fan_out.subscribe() as other:
        for item in range(3):
            fan_out.publish(item)

        assert [await one.next() for _ in range(3)] == [0, 1, 2]
        assert await other.next_batch(10) == [0, 1, 2]


async def test_only_what_is_published_while_subscribed_is_read():
    fan_out = FanOut(capacity=10)
    fan_out.publish("before")
    assert not fan_out.has_subscribers
    with fan_out.subscribe() as subscription:
        assert fan_out.has_subscribers
        fan_out.publish("meanwhile")
    fan_out.publish("after")

    assert not fan_out.has_subscribers
    assert await subscription.next_batch(10) == ["meanwhile"]


async def test_a_subscription_that_fails_is_removed():
    fan_out = FanOut(capacity=1)
    with pytest.raises(KeyError), fan_out.subscribe():
        raise KeyError

    assert not fan_out.has_subscribers


def test_without_an_item_the_reader_waits_for_the_timeout():
    async def play():
        subscription = Subscription(capacity=1)
        nothing = await subscription.next(timedelta(seconds=2))
        return nothing, asyncio.get_running_loop().time()

    assert run_skipping(play()) == (None, 2)


async def test_an_item_wakes_the_reader():
    subscription = Subscription(capacity=1)
    for read in (subscription.next(), subscription.next(timedelta(hours=1))):
        reading = asyncio.ensure_future(read)
        await asyncio.sleep(0)
        subscription.put("item")
        assert await reading == "item"
    batch = asyncio.ensure_future(subscription.next_batch(5))
    await asyncio.sleep(0)
    subscription.put("item")
    assert await batch == ["item"]


async def test_without_an_error_an_item_too_many_is_dropped():
    fan_out = FanOut(capacity=2)
    with fan_out.subscribe() as slow, fan_out.subscribe() as fast:
        for item in range(4):
            fan_out.publish(item)
            assert await fast.next() == item

        assert await slow.next_batch(10) == [0, 1]
        fan_out.publish(4)
        assert await slow.next() == 4


async def test_with_an_error_an_item_too_many_closes_that_subscription_alone():
    fan_out = FanOut(capacity=2, overflow_error=ResourceExhausted)
    with fan_out.subscribe() as slow, fan_out.subscribe() as fast:
        for item in range(3):
            fan_out.publish(item)
            assert await fast.next() == item
        fan_out.publish(3)

        for read in (slow.next, slow.next, lambda: slow.next_batch(5)):
            with pytest.raises(ResourceExhausted):
                await read()
        assert await fast.next() == 3


async def test_closing_wakes_the_reader_and_the_first_error_counts():
    subscription = Subscription(capacity=2)
    reading = asyncio.ensure_future(subscription.next())
    await asyncio.sleep(0)
    subscription.close(ResourceExhausted())
    subscription.close(KeyError())
    subscription.put("late")

    with pytest.raises(ResourceExhausted):
        await reading
    assert subscription.is_empty


async def test_capacity_may_be_a_weight():
    subscription = Subscription(capacity=10, weigh=len)
    for item in ("12345", "1234", "123456789", "dropped"):
        subscription.put(item)

    assert subscription.is_full
    assert [await subscription.next_batch(9) for _ in range(2)] == [["12345", "1234"], ["123456789"]]
    assert (subscription.is_empty, subscription.is_full) == (True, False)


async def test_an_item_heavier_than_a_batch_is_read_alone():
    subscription = Subscription(capacity=100, weigh=len)
    for item in ("1", "12345", "1"):
        subscription.put(item)

    assert [await subscription.next_batch(3) for _ in range(3)] == [["1"], ["12345"], ["1"]]


async def test_the_oldest_match_is_discarded():
    subscription = Subscription(capacity=3)
    for item in (1, 2, 4):
        subscription.put(item)

    assert subscription.discard_first(lambda item: item % 2 == 0)
    assert not subscription.discard_first(lambda item: item > 4)
    assert not subscription.is_full
    assert await subscription.next_batch(3) == [1, 4]


async def test_a_reader_whose_item_was_discarded_waits_on():
    subscription = Subscription(capacity=3)
    reading = asyncio.ensure_future(subscription.next())
    await asyncio.sleep(0)
    subscription.put(1)
    subscription.discard_first(lambda _: True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    subscription.put(2)

    assert await reading == 2


@pytest.mark.parametrize("turns", range(50))
async def test_a_reader_that_is_cancelled_takes_no_item_along(turns):
    subscription = Subscription(capacity=10)
    reading = asyncio.ensure_future(subscription.next(timedelta(hours=1)))
    for turn in range(4):
        if turn == turns % 4:
            subscription.put("item")
        if turn == turns // 4 % 4:
            reading.cancel()
        await asyncio.sleep(0)
    [outcome] = await asyncio.gather(reading, return_exceptions=True)

    assert (outcome == "item") == subscription.is_empty


@given(st.integers(1, 30), st.lists(st.one_of(st.integers(1, 9), st.none()), max_size=60))
def test_nothing_accepted_is_lost_and_memory_is_bounded(capacity, steps):
    """Each number is put as an item of that weight; `None` reads a batch."""

    async def play():
        subscription = Subscription(capacity=capacity, weigh=lambda item: item)
        accepted, read = [], []
        for step in steps:
            if step is None:
                if not subscription.is_empty:
                    read += await subscription.next_batch(5)
            else:
                accepted += [] if subscription.is_full else [step]
                subscription.put(step)
            assert subscription._weight == sum(subscription._unread) < capacity + 9
        while not subscription.is_empty:
            read.append(await subscription.next())
        assert read == accepted
        assert await subscription.next(NOW) is None

    asyncio.run(play())
