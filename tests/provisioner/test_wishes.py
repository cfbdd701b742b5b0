import asyncio
import uuid
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import pytest

from services.chassis.clock import SystemClock
from services.provisioner.calls import Registry
from services.provisioner.model import DesiredState, Wish
from services.provisioner.wishes import Wishes
from tests.provisioner.neighbours import SmallAuth, SmallRegistry, servicers_of
from tests.rpc import running
from tests.waiting import eventually


@pytest.fixture
def one() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def two() -> str:
    return str(uuid.uuid4())


@pytest.fixture
async def book():
    registry = SmallRegistry()
    servicer, _ = servicers_of(registry, SmallAuth())
    async with running([servicer], caller_service="provisioner") as line:
        yield registry, Registry(line, backend="fake")


@asynccontextmanager
async def following(wishes: Wishes):
    """Follow for the length of the block; yields what was told, `None` for everything."""
    told = []

    async def follow() -> None:
        async with aclosing(wishes.follow()) as changes:
            async for changed in changes:
                told.append(changed)  # noqa: PERF401 - seen while it grows

    task = asyncio.ensure_future(follow())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_wanted_at_first_is_told_at_once_and_what_changes_one_by_one(book, one, two):
    registry, calls = book
    registry.want(one, model="m-1", parent_id=two)
    wishes = Wishes(calls, SystemClock())
    async with following(wishes) as told:
        await eventually(lambda: told == [None])
        assert wishes.fresh()
        assert wishes.get(one) == Wish(
            workspace_id=one,
            generation=1,
            desire=DesiredState.RUNNING,
            runtime="echo",
            adapter_module="molecule_agent.echo",
            model="m-1",
            parent_id=two,
        )

        registry.want(two, DesiredState.STOPPED)
        await eventually(lambda: told == [None, two])
        assert wishes.get(two).desire is DesiredState.STOPPED
        assert wishes.get(two).parent_id is None


async def test_a_change_that_decides_nothing_is_not_told(book, one, two):
    registry, calls = book
    registry.want(one)
    wishes = Wishes(calls, SystemClock())
    async with following(wishes) as told:
        await eventually(lambda: told == [None])
        registry.want(one, name="a new name", status=2)
        registry.want(two)

        await eventually(lambda: told == [None, two])


async def test_nothing_may_be_acted_on_before_everything_is_told(book, one):
    registry, calls = book
    registry.want(one)
    registry.telling.clear()
    wishes = Wishes(calls, SystemClock())
    async with following(wishes) as told:
        await eventually(lambda: wishes.get(one))
        assert not wishes.fresh()
        assert told == []

        registry.telling.set()
        await wishes.until_fresh()


async def test_a_feed_that_breaks_is_opened_anew_and_what_is_gone_is_dropped(book, one, two):
    registry, calls = book
    registry.want(one)
    registry.want(two)
    wishes = Wishes(calls, SystemClock())
    async with following(wishes) as told:
        await eventually(lambda: told == [None])
        registry.telling.clear()
        registry.erase(one)
        registry.break_feeds()
        await eventually(lambda: not wishes.fresh())

        registry.telling.set()
        await eventually(lambda: told == [None, None])

        assert wishes.fresh()
        assert [wish.workspace_id for wish in wishes.all()] == [two]


async def test_a_feed_that_falls_silent_is_opened_anew(book, one):
    registry, calls = book
    registry.want(one)
    registry.alive = False
    wishes = Wishes(calls, SystemClock(), silence=timedelta(seconds=0.2))
    async with following(wishes) as told:
        await eventually(lambda: len(told) >= 2)

        assert len(registry.backends) >= 2


async def test_wishes_grow_stale_when_the_feed_is_silent(book, one, clock):
    registry, calls = book
    registry.alive = False
    wishes = Wishes(calls, clock)
    async with following(wishes) as told:
        await eventually(lambda: told == [None])

        clock.advance(seconds=8)
        assert wishes.fresh()
        clock.advance(seconds=1)
        assert not wishes.fresh()


async def test_signs_of_life_keep_wishes_fresh(book, one, clock):
    _, calls = book
    wishes = Wishes(calls, clock)
    async with following(wishes) as told:
        await eventually(lambda: told == [None])
        clock.advance(seconds=9)

        await wishes.until_fresh()


async def test_who_does_not_follow_knows_nothing(book, one):
    registry, calls = book
    registry.want(one)
    wishes = Wishes(calls, SystemClock())
    async with following(wishes) as told:
        await eventually(lambda: told == [None])

    assert wishes.all() == []
    assert not wishes.fresh()
