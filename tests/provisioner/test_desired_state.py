"""The cache of the desired state, fed by a fake registry."""

import asyncio
import uuid
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import pytest

from services.provisioner.clients import RegistryClient
from services.provisioner.desired_state import DesiredStateCache
from services.provisioner.model import DesiredInstance, DesiredState
from tests.provisioner.fake_registry import FakeRegistry, registry_servicers
from tests.rpc import open_channel_to
from tests.waiting import eventually


@pytest.fixture
def one() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def two() -> str:
    return str(uuid.uuid4())


@pytest.fixture
async def feed():
    registry = FakeRegistry()
    async with open_channel_to(registry_servicers(registry), caller_service="provisioner") as channel:
        yield registry, RegistryClient(channel, backend="fake")


@asynccontextmanager
async def following(cache: DesiredStateCache):
    """Follow the feed within the block; yields the list of what the cache has yielded."""
    yielded = []

    async def follow() -> None:
        async with aclosing(cache.follow()) as changes:
            async for changed in changes:
                yielded.append(changed)  # noqa: PERF401 - the test reads the list while it grows

    task = asyncio.ensure_future(follow())
    try:
        yield yielded
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_snapshot_is_yielded_once_and_later_changes_one_by_one(feed, one, two):
    registry, client = feed
    registry.set_desired(one, model="m-1", parent_id=two)
    cache = DesiredStateCache(client)
    async with following(cache) as yielded:
        await eventually(lambda: yielded == [None])
        assert cache.is_fresh()
        assert cache.get(one) == DesiredInstance(
            workspace_id=one,
            generation=1,
            state=DesiredState.RUNNING,
            runtime="echo",
            adapter_module="molecule_agent.echo",
            model="m-1",
            parent_id=two,
        )

        registry.set_desired(two, DesiredState.STOPPED)
        await eventually(lambda: yielded == [None, two])
        assert cache.get(two).state is DesiredState.STOPPED
        assert cache.get(two).parent_id is None


async def test_change_of_irrelevant_fields_is_not_yielded(feed, one, two):
    registry, client = feed
    registry.set_desired(one)
    cache = DesiredStateCache(client)
    async with following(cache) as yielded:
        await eventually(lambda: yielded == [None])
        registry.set_desired(one, name="a new name", status=2)
        registry.set_desired(two)

        await eventually(lambda: yielded == [None, two])


async def test_cache_is_not_fresh_before_the_snapshot_is_complete(feed, one):
    registry, client = feed
    registry.set_desired(one)
    registry.snapshot_allowed.clear()
    cache = DesiredStateCache(client)
    async with following(cache) as yielded:
        await eventually(lambda: cache.get(one))
        assert not cache.is_fresh()
        assert yielded == []

        registry.snapshot_allowed.set()
        await cache.wait_until_fresh()


async def test_broken_feed_is_opened_again_and_removed_workspaces_are_dropped(feed, one, two):
    registry, client = feed
    registry.set_desired(one)
    registry.set_desired(two)
    cache = DesiredStateCache(client)
    async with following(cache) as yielded:
        await eventually(lambda: yielded == [None])
        registry.snapshot_allowed.clear()
        registry.erase(one)
        registry.break_feeds()
        await eventually(lambda: not cache.is_fresh())

        registry.snapshot_allowed.set()
        await eventually(lambda: yielded == [None, None])

        assert cache.is_fresh()
        assert [desired.workspace_id for desired in cache.list_all()] == [two]


async def test_silent_feed_is_opened_again(feed, one):
    registry, client = feed
    registry.set_desired(one)
    registry.sends_keepalives = False
    cache = DesiredStateCache(client, silence_limit=timedelta(seconds=0.2))
    async with following(cache) as yielded:
        await eventually(lambda: len(yielded) >= 2)

        assert len(registry.watching_backends) >= 2


async def test_cache_is_stale_after_eight_seconds_of_silence(feed, one, clock):
    registry, client = feed
    registry.sends_keepalives = False
    cache = DesiredStateCache(client, monotonic=lambda: clock.now().timestamp())
    async with following(cache) as yielded:
        await eventually(lambda: yielded == [None])

        clock.advance(seconds=8)
        assert cache.is_fresh()
        clock.advance(seconds=1)
        assert not cache.is_fresh()


async def test_keepalives_keep_the_cache_fresh(feed, one, clock):
    _, client = feed
    cache = DesiredStateCache(client, monotonic=lambda: clock.now().timestamp())
    async with following(cache) as yielded:
        await eventually(lambda: yielded == [None])
        clock.advance(seconds=9)

        await cache.wait_until_fresh()


async def test_cache_is_empty_unless_it_follows_the_feed(feed, one):
    registry, client = feed
    registry.set_desired(one)
    cache = DesiredStateCache(client)
    async with following(cache) as yielded:
        await eventually(lambda: yielded == [None])

    assert cache.list_all() == []
    assert not cache.is_fresh()
