import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.chassis.database import NotificationListener
from services.registry.app import service
from services.registry.errors.workspaces import FeedOverrun
from services.registry.feeds import workspace_feed as module
from services.registry.feeds.workspace_feed import (
    FeedKeepalive,
    HeartbeatBatch,
    SnapshotDone,
    WorkspaceChange,
    WorkspaceFeed,
)
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.workspace.model import HeartbeatNotice
from tests.registry.conftest import ADMIN
from tests.waiting import eventually

HEARTBEAT = HeartbeatNotice(workspace_id="w", active_tasks=1, current_task="", uptime_seconds=1)


async def read_snapshot(watch):
    """The workspaces of the snapshot, and its revision."""
    seen = []
    async for update in watch:
        if isinstance(update, SnapshotDone):
            return seen, update.revision
        seen.append(update.workspace)
    return None


async def read_change(watch):
    """The workspace of the next change."""
    async for update in watch:
        if isinstance(update, WorkspaceChange):
            return update.workspace
    return None


async def test_a_watch_sends_every_workspace_first_and_then_the_changes(registry):
    one, other = await registry.create("one"), await registry.create("other")
    async with registry.following() as feed, aclosing(feed.watch(0, include_heartbeats=False, backend="")) as watch:
        snapshot, revision = await read_snapshot(watch)
        await registry.updater.update(ADMIN, one.id, {"name": "eve"})
        changed = await read_change(watch)

    assert [workspace.id for workspace in snapshot] == [one.id, other.id]
    assert (changed.id, changed.name) == (one.id, "eve")
    assert changed.revision > revision == snapshot[-1].revision


async def test_a_watch_resumes_after_the_given_revision(registry):
    one, other = await registry.create("one"), await registry.create("other")
    seen = (await registry.get(one.id)).revision
    async with registry.following() as feed, aclosing(feed.watch(seen, include_heartbeats=False, backend="")) as watch:
        first = await read_change(watch)
        keepalive = await anext(watch)

    assert first.id == other.id
    assert keepalive == FeedKeepalive(first.revision)


async def test_a_watch_after_an_unknown_revision_begins_with_a_snapshot(registry):
    one = await registry.create("one")
    async with (
        registry.following() as feed,
        aclosing(feed.watch(10**12, include_heartbeats=False, backend="")) as watch,
    ):
        snapshot, _ = await read_snapshot(watch)

    assert [workspace.id for workspace in snapshot] == [one.id]


async def test_finished_removals_are_sent_when_a_watch_resumes_and_not_in_a_snapshot(registry):
    removed = await registry.create(runtime="external")
    seen = (await registry.get(removed.id)).revision
    await registry.removal.remove(ADMIN, removed.id, confirm=False, purge=True)
    async with registry.following() as feed:
        async with aclosing(feed.watch(0, include_heartbeats=False, backend="")) as watch:
            assert (await read_snapshot(watch))[0] == []
        async with aclosing(feed.watch(seen, include_heartbeats=False, backend="")) as watch:
            assert (await read_change(watch)).id == removed.id


async def test_the_feed_sends_keepalives_and_stores_that_a_provisioner_watches(registry):
    async with (
        registry.following() as feed,
        aclosing(feed.watch(0, include_heartbeats=False, backend="process")) as watch,
    ):
        await read_snapshot(watch)
        keepalives = [await anext(watch), await anext(watch)]
        async with registry.store.begin() as tx:
            watched = await tx.revisions.is_watched(registry.clock.now().replace(year=2000))

    assert keepalives == [FeedKeepalive(0), FeedKeepalive(0)]
    assert watched


async def test_every_change_is_sent_once_and_in_the_order_of_revisions(registry):
    made = [await registry.create(f"w{number}") for number in range(4)]
    async with registry.following() as feed, aclosing(feed.watch(0, include_heartbeats=False, backend="")) as watch:
        await read_snapshot(watch)
        seen = []
        for turn in range(60):
            await asyncio.gather(
                *(
                    registry.updater.update(ADMIN, workspace.id, {"name": f"{workspace.id}-{turn}"})
                    for workspace in made
                )
            )
        last = {workspace.id: f"{workspace.id}-59" for workspace in made}
        while last:
            workspace = await read_change(watch)
            seen.append(workspace.revision)
            if last.get(workspace.id) == workspace.name:
                del last[workspace.id]

    assert seen == sorted(set(seen))


async def test_a_revision_is_never_committed_after_a_higher_one(registry):
    one, other = await registry.create("one"), await registry.create("other")
    for turn in range(50):
        async with registry.store.begin() as slow:
            workspace = await slow.get(one.id, lock=True)
            slow.save(replace(workspace, name=f"one-{turn}"))
            await slow.write()
            quick = asyncio.ensure_future(registry.updater.update(ADMIN, other.id, {"name": f"other-{turn}"}))
            done, _ = await asyncio.wait([quick], timeout=0.02)
            async with registry.store.begin() as reader:
                seen = await reader.revisions.list_changed(0, limit=9)

        assert not done
        assert all(workspace.name not in {f"one-{turn}", f"other-{turn}"} for workspace in seen)
        assert (await quick).entry.workspace.name == f"other-{turn}"
        assert (await registry.get(one.id)).revision < (await registry.get(other.id)).revision


async def test_a_subscriber_that_reads_too_slowly_gets_an_overrun_error(registry):
    made = await registry.create()
    async with registry.following() as feed, aclosing(feed.watch(0, include_heartbeats=False, backend="")) as watch:
        await read_snapshot(watch)
        [subscriber] = feed._subscribers
        for _ in range(module.MAX_UNREAD_UPDATES + 1):
            subscriber.put_change(WorkspaceChange(replace(made, revision=10**9)))

        with pytest.raises(FeedOverrun):
            await read_change(watch)
    assert feed._subscribers == set()


async def test_a_subscriber_that_overran_receives_no_keepalive_before_the_error(registry):
    made = await registry.create()
    async with registry.following() as feed, aclosing(feed.watch(0, include_heartbeats=False, backend="")) as watch:
        await read_snapshot(watch)
        await eventually(lambda: feed.revision >= made.revision)
        [subscriber] = feed._subscribers
        for _ in range(module.MAX_UNREAD_UPDATES + 1):
            subscriber.put_change(WorkspaceChange(replace(made, revision=10**9)))

        with pytest.raises(FeedOverrun):
            await anext(watch)


def test_a_heartbeat_never_ends_a_stream():
    subscriber = module._Subscriber(include_heartbeats=True)
    for _ in range(module.MAX_UNREAD_UPDATES):
        subscriber._unread.put(module._HEARTBEATS_WAIT)
    subscriber.put_heartbeat(HEARTBEAT)

    assert not subscriber._has_overrun


async def test_heartbeats_go_to_subscribers_that_ask_and_take_one_place_in_the_queue(registry):
    async with (
        registry.following() as feed,
        aclosing(feed.watch(0, include_heartbeats=True, backend="")) as with_heartbeats,
        aclosing(feed.watch(0, include_heartbeats=False, backend="")) as without_heartbeats,
    ):
        await read_snapshot(with_heartbeats)
        await read_snapshot(without_heartbeats)
        for _ in range(module.MAX_UNREAD_HEARTBEATS + 50):
            feed.publish_heartbeat(HEARTBEAT)
        waiting = sorted((len(one._unread._unread), len(one._heartbeats)) for one in feed._subscribers)

        async for update in with_heartbeats:
            if not isinstance(update, FeedKeepalive):
                break

    assert waiting == [(0, 0), (1, module.MAX_UNREAD_HEARTBEATS)]
    assert update == HeartbeatBatch((HEARTBEAT,) * module.MAX_UNREAD_HEARTBEATS)


class StoppedFeed(WorkspaceFeed):
    """Read the table once, long ago, and cannot read it any more."""

    async def run(self):
        await self._catch_up()
        self._read_at -= 100
        await asyncio.Event().wait()


async def test_a_feed_that_cannot_read_the_table_sends_no_keepalive(registry):
    feed = StoppedFeed(registry.store, registry.listener, replica_id="r")
    reading = asyncio.ensure_future(feed.run())
    async with aclosing(feed.watch(0, include_heartbeats=False, backend="")) as watch:
        await read_snapshot(watch)
        silent = asyncio.ensure_future(anext(watch))
        done, _ = await asyncio.wait([silent], timeout=3)
        silent.cancel()
        reading.cancel()
        await asyncio.gather(silent, reading, return_exceptions=True)

    assert not done


async def test_two_replicas_send_the_same_changes(registry, engine, database_url, auth, clock):
    notifications = NotificationListener(database_url, role=service.build_role(), channel=REVISION_CHANNEL)
    second = WorkspaceFeed(registry.store, notifications, replica_id="second")
    tasks = [asyncio.ensure_future(notifications.listen()), asyncio.ensure_future(second.run())]
    async with (
        registry.following() as first,
        aclosing(first.watch(0, include_heartbeats=False, backend="")) as one,
        aclosing(second.watch(0, include_heartbeats=False, backend="")) as other,
    ):
        await read_snapshot(one)
        await read_snapshot(other)
        made = await registry.create()

        assert (await read_change(one)).id == (await read_change(other)).id == made.id
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
