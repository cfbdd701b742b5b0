import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.model import Status
from services.a2a_proxy.route_cache import RouteCache
from services.chassis.errors import Unavailable
from services.chassis.feeds import FEED_SILENCE_LIMIT
from tests.a2a_proxy.fake_services import FakeRegistry
from tests.rpc import open_channel_to
from tests.waiting import eventually


@asynccontextmanager
async def following(
    registry: FakeRegistry,
    *,
    silence_limit: timedelta = FEED_SILENCE_LIMIT,
    on_sign_of_life=lambda _: None,
    on_idle_timeout=lambda *_: None,
    on_removal=(),
) -> AsyncIterator[RouteCache]:
    async with open_channel_to([registry.servicer()], caller_service="a2a_proxy") as channel:
        cache = RouteCache(
            RegistryClient(channel),
            on_sign_of_life=on_sign_of_life,
            on_idle_timeout=on_idle_timeout,
            on_removal=on_removal,
            silence_limit=silence_limit,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(cache.follow_feed())
            await eventually(cache.is_fresh)
            yield cache
            task.cancel()


@pytest.fixture
def registry() -> FakeRegistry:
    registry = FakeRegistry()
    registry.set_workspace("a")
    registry.set_workspace("b")
    return registry


async def test_a_route_from_the_feed_is_returned_without_asking_the_registry(registry):
    async with following(registry) as cache:
        await eventually(lambda: registry.has_watchers)

        found = await cache.find("a", None)

        assert found.route.workspace_id == "a"
        assert registry.resolved == []


async def test_a_change_replaces_the_route(registry):
    async with following(registry) as cache:
        registry.set_workspace("a", address="http://new/", monthly_spend=7)

        await eventually(lambda: cache._routes["a"].address == "http://new/")
        assert (await cache.find("a", None)).route.monthly_spend == 7


async def test_a_permission_is_requested_once(registry):
    async with following(registry) as cache:
        await eventually(lambda: "b" in cache._routes)

        assert (await cache.find("b", "a")).allowed
        assert (await cache.find("b", "a")).allowed

        assert registry.resolved == [("b", "a")]


async def test_a_workspace_may_write_to_itself_without_asking(registry):
    async with following(registry) as cache:
        await eventually(lambda: "a" in cache._routes)

        assert (await cache.find("a", "a")).allowed
        assert registry.resolved == []


async def test_permissions_are_requested_again_after_the_hierarchy_changed(registry):
    async with following(registry) as cache:
        await eventually(lambda: "b" in cache._routes)
        await cache.find("b", "a")

        registry.denied.add(("a", "b"))
        registry.set_workspace("b", parent_id="c")
        await eventually(lambda: cache._routes["b"].parent_id == "c")

        assert not (await cache.find("b", "a")).allowed


async def test_a_permission_is_not_cached_if_the_hierarchy_changed_meanwhile(registry):
    async with following(registry) as cache:
        await eventually(lambda: "b" in cache._routes)
        registry.may_answer.clear()
        asking = asyncio.ensure_future(cache.find("b", "a"))
        await eventually(lambda: registry.resolved)
        registry.set_workspace("a", parent_id="c")
        await eventually(lambda: cache._routes["a"].parent_id)

        registry.may_answer.set()
        await asking

        assert cache._allowed == {}


async def test_unknown_workspaces_are_never_cached(registry):
    async with following(registry) as cache:
        for _ in range(2):
            found = await cache.find("unknown", None)
            assert (found.route, found.allowed) == (None, True)
            assert not (await cache.find("unknown", "a")).allowed

        assert len(registry.resolved) == 4


async def test_a_removed_workspace_is_not_cached(registry):
    async with following(registry) as cache:
        await eventually(lambda: "a" in cache._routes)
        registry.set_workspace("a", status=pb.WORKSPACE_STATUS_REMOVED)
        await eventually(lambda: "a" not in cache._routes)

        assert (await cache.find("a", None)).route.status is Status.REMOVED


@pytest.mark.covers("BEY-05")
async def test_a_silent_feed_is_not_trusted_and_without_the_registry_find_raises(registry):
    async with following(registry, silence_limit=timedelta(seconds=0.2)) as cache:
        registry.is_unavailable = True
        registry.break_feeds()
        await eventually(lambda: not cache.is_fresh())

        with pytest.raises(Unavailable):
            await cache.find("a", None)


async def test_after_a_long_outage_the_feed_is_read_from_the_beginning(registry):
    async with following(registry, silence_limit=timedelta(seconds=0.2)) as cache:
        await eventually(lambda: cache._revision == 2)
        await eventually(lambda: len(registry.watched_after) > 1)

        assert set(registry.watched_after) == {0}


async def test_after_a_short_outage_the_feed_continues_after_the_last_revision(registry):
    async with following(registry) as cache:
        await eventually(lambda: cache._revision == 2)

        registry.break_feeds()
        await eventually(lambda: len(registry.watched_after) == 2)

        assert registry.watched_after == [0, 2]


# Signs of life ───────────────────────────────────────────────────────────────

REGISTERED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def change(**fields):
    return lambda registry: registry.set_workspace("a", **fields)


def register(registry: FakeRegistry) -> None:
    registry.set_workspace("a", registered_at=REGISTERED_AT)


@pytest.mark.covers("A2A-19")
@pytest.mark.parametrize(
    ("update", "is_sign"),
    [
        (lambda registry: registry.send_heartbeat("a"), True),
        (register, True),
        (change(status=pb.WORKSPACE_STATUS_OFFLINE, status_reason="agent_stale"), False),
        (change(status=pb.WORKSPACE_STATUS_DEGRADED, status_reason="liveness_timeout"), False),
        (change(budget_limit=7), False),
        (change(monthly_spend=7), False),
        (change(name="another"), False),
        (change(parent_id="b"), False),
        (change(address="http://new/"), False),
        (change(generation=2), False),
        (change(declarations=pb.Declarations(idle_timeout_seconds=7)), False),
    ],
    ids=[
        "heartbeat",
        "registration",
        "stale",
        "liveness",
        "budget",
        "spend",
        "name",
        "parent",
        "address",
        "generation",
        "declarations",
    ],
)
async def test_only_what_an_agent_sends_is_a_sign_of_life(registry, update, is_sign):
    alive = []
    async with following(registry, on_sign_of_life=alive.append) as cache:
        await eventually(lambda: cache._revision == 2)

        update(registry)
        registry.send_heartbeat("b")  # arrives after the update

        await eventually(lambda: "b" in alive)
        assert alive == (["a", "b"] if is_sign else ["b"])


@pytest.mark.covers("A2A-19")
async def test_a_change_after_a_registration_and_the_snapshot_are_no_further_signs_of_life(registry):
    registry.set_workspace("a", registered_at=REGISTERED_AT)
    alive = []
    async with following(registry, on_sign_of_life=alive.append) as cache:
        await eventually(lambda: cache._revision == 3)

        registry.set_workspace("a", status=pb.WORKSPACE_STATUS_OFFLINE)
        registry.send_heartbeat("b")

        await eventually(lambda: "b" in alive)
        assert alive == ["b"]


@pytest.mark.covers("A2A-21")
async def test_a_declared_idle_timeout_is_reported_when_it_changes(registry):
    declared = []
    async with following(registry, on_idle_timeout=lambda *found: declared.append(found)) as cache:
        await eventually(lambda: cache._revision == 2)

        registry.set_workspace("a", declarations=pb.Declarations(idle_timeout_seconds=7))
        registry.set_workspace("a", name="another")
        registry.set_workspace("a", declarations=pb.Declarations())

        await eventually(lambda: len(declared) == 2)
        assert declared == [("a", timedelta(seconds=7)), ("a", None)]


@pytest.mark.covers("A2A-22")
async def test_hearing_begins_anew_with_each_connection_of_the_feed_and_ends_with_its_silence(registry):
    async with following(registry, silence_limit=timedelta(seconds=0.5)) as cache:
        first = cache.get_hearing_start()
        assert first is not None

        registry.break_feeds()
        assert await eventually(lambda: (cache.get_hearing_start() or 0) > first)

        registry.is_unavailable = True
        registry.break_feeds()
        await eventually(lambda: cache.get_hearing_start() is None)
