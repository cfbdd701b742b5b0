import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.chassis.database import NotificationListener
from services.registry.app import ROLE
from services.registry.errors.workspaces import FeedOverrun
from services.registry.feeds import workspace_feed as feed_module
from services.registry.feeds.workspace_feed import Alive, Beats, Changed, Feed, SnapshotDone
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.workspace.model import HeartbeatNotice
from tests.registry.conftest import ADMIN

BEAT = HeartbeatNotice(workspace_id="w", active_tasks=1, current_task="", uptime_seconds=1)


async def snapshot(watch):
    """What there is, up to the end of it."""
    seen = []
    async for news in watch:
        if isinstance(news, SnapshotDone):
            return seen, news.revision
        seen.append(news.workspace)
    return None


async def change(watch):
    """The next change."""
    async for news in watch:
        if isinstance(news, Changed):
            return news.workspace
    return None


async def test_a_watch_begins_with_what_there_is_and_goes_on_with_what_changes(registry):
    one, other = await registry.create("one"), await registry.create("other")
    async with registry.following() as feed, aclosing(feed.watch(0, pulses=False, backend="")) as watch:
        there, revision = await snapshot(watch)
        await registry.editing.update(ADMIN, one.id, {"name": "eve"})
        changed = await change(watch)

    assert [workspace.id for workspace in there] == [one.id, other.id]
    assert (changed.id, changed.name) == (one.id, "eve")
    assert changed.revision > revision == there[-1].revision


async def test_a_watch_resumes_after_the_revision_it_names(registry):
    one, other = await registry.create("one"), await registry.create("other")
    seen = (await registry.get(one.id)).revision
    async with registry.following() as feed, aclosing(feed.watch(seen, pulses=False, backend="")) as watch:
        first = await change(watch)
        sign = await anext(watch)

    assert first.id == other.id
    assert sign == Alive(first.revision)


async def test_a_revision_that_never_was_begins_anew(registry):
    one = await registry.create("one")
    async with registry.following() as feed, aclosing(feed.watch(10**12, pulses=False, backend="")) as watch:
        there, _ = await snapshot(watch)

    assert [workspace.id for workspace in there] == [one.id]


async def test_removals_that_are_over_are_told_to_who_resumes_and_not_to_who_begins(registry):
    gone = await registry.create(runtime="external")
    seen = (await registry.get(gone.id)).revision
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=True)
    async with registry.following() as feed:
        async with aclosing(feed.watch(0, pulses=False, backend="")) as watch:
            assert (await snapshot(watch))[0] == []
        async with aclosing(feed.watch(seen, pulses=False, backend="")) as watch:
            assert (await change(watch)).id == gone.id


async def test_the_feed_says_that_it_is_alive_and_that_a_provisioner_listens(registry):
    async with registry.following() as feed, aclosing(feed.watch(0, pulses=False, backend="process")) as watch:
        await snapshot(watch)
        signs = [await anext(watch), await anext(watch)]
        async with registry.store.begin() as tx:
            watched = await tx.revisions.is_watched(registry.clock.now().replace(year=2000))

    assert signs == [Alive(0), Alive(0)]
    assert watched


async def test_every_change_arrives_once_and_in_the_order_of_revisions(registry):
    made = [await registry.create(f"w{number}") for number in range(4)]
    async with registry.following() as feed, aclosing(feed.watch(0, pulses=False, backend="")) as watch:
        await snapshot(watch)
        seen = []
        for turn in range(60):
            await asyncio.gather(
                *(
                    registry.editing.update(ADMIN, workspace.id, {"name": f"{workspace.id}-{turn}"})
                    for workspace in made
                )
            )
        last = {workspace.id: f"{workspace.id}-59" for workspace in made}
        while last:
            workspace = await change(watch)
            seen.append(workspace.revision)
            if last.get(workspace.id) == workspace.name:
                del last[workspace.id]

    assert seen == sorted(set(seen))


async def test_a_number_is_never_committed_after_a_higher_one(registry):
    one, other = await registry.create("one"), await registry.create("other")
    for turn in range(50):
        async with registry.store.begin() as slow:
            workspace = await slow.get(one.id, lock=True)
            slow.save(replace(workspace, name=f"one-{turn}"))
            await slow.write()
            quick = asyncio.ensure_future(registry.editing.update(ADMIN, other.id, {"name": f"other-{turn}"}))
            done, _ = await asyncio.wait([quick], timeout=0.02)
            async with registry.store.begin() as reader:
                seen = await reader.revisions.list_changed(0, limit=9)

        assert not done
        assert all(workspace.name not in {f"one-{turn}", f"other-{turn}"} for workspace in seen)
        assert (await quick).entry.workspace.name == f"other-{turn}"
        assert (await registry.get(one.id)).revision < (await registry.get(other.id)).revision


async def test_who_falls_behind_is_sent_away_to_come_back(registry):
    made = await registry.create()
    async with registry.following() as feed, aclosing(feed.watch(0, pulses=False, backend="")) as watch:
        await snapshot(watch)
        [watcher] = feed._watchers
        for _ in range(feed_module.BACKLOG + 1):
            watcher.hear(Changed(replace(made, revision=10**9)))

        with pytest.raises(FeedOverrun):
            await change(watch)
    assert feed._watchers == set()


async def test_heartbeats_go_to_those_who_want_them_and_never_crowd_out_changes(registry):
    async with (
        registry.following() as feed,
        aclosing(feed.watch(0, pulses=True, backend="")) as keen,
        aclosing(feed.watch(0, pulses=False, backend="")) as calm,
    ):
        await snapshot(keen)
        await snapshot(calm)
        for _ in range(feed_module.BACKLOG_OF_BEATS + 50):
            feed.beat(BEAT)
        waiting = sorted((watcher._unread.qsize(), len(watcher._beats)) for watcher in feed._watchers)

        async for news in keen:
            if not isinstance(news, Alive):
                break

    assert waiting == [(0, 0), (1, feed_module.BACKLOG_OF_BEATS)]
    assert news == Beats((BEAT,) * feed_module.BACKLOG_OF_BEATS)


class StoppedFeed(Feed):
    """Has read once, long ago, and cannot read any more."""

    async def run(self):
        await self._catch_up()
        self._read_at -= 100
        await asyncio.Event().wait()


async def test_a_feed_that_cannot_read_does_not_say_that_it_is_alive(registry):
    feed = StoppedFeed(registry.store, registry.listener, replica_id="r")
    reading = asyncio.ensure_future(feed.run())
    async with aclosing(feed.watch(0, pulses=False, backend="")) as watch:
        await snapshot(watch)
        silent = asyncio.ensure_future(anext(watch))
        done, _ = await asyncio.wait([silent], timeout=3)
        silent.cancel()
        reading.cancel()
        await asyncio.gather(silent, reading, return_exceptions=True)

    assert not done


async def test_two_replicas_tell_the_same(registry, engine, database_url, auth, clock):
    listener = NotificationListener(database_url, role=ROLE, channel=REVISION_CHANNEL)
    second = Feed(registry.store, listener, replica_id="second")
    tasks = [asyncio.ensure_future(listener.listen()), asyncio.ensure_future(second.run())]
    async with (
        registry.following() as first,
        aclosing(first.watch(0, pulses=False, backend="")) as one,
        aclosing(second.watch(0, pulses=False, backend="")) as other,
    ):
        await snapshot(one)
        await snapshot(other)
        made = await registry.create()

        assert (await change(one)).id == (await change(other)).id == made.id
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
