import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.chassis.database import NotificationListener
from services.registry.app import ROLE
from services.registry.errors.events import EventIdGone
from services.registry.errors.workspaces import FeedOverrun
from services.registry.feeds import event_log as chronicle_module
from services.registry.feeds.event_log import CaughtUp, Chronicle, Quiet, Told
from services.registry.feeds.workspace_feed import Feed
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.workspace.audiences import EVERYTHING, name_org_audience, name_workspace_audience
from services.registry.workspace.events import EventDraft, EventType
from tests.registry.conftest import ADMIN

EXTERNAL = {"runtime": "external"}


async def begun(watch):
    """What is told until all there was has been told: where workspaces stand, the events, and up to where."""
    placed, told = {}, []
    async for news in watch:
        match news:
            case CaughtUp(event_id):
                return placed, told, event_id
            case Told(event, _):
                told.append(event)
            case some:
                placed |= {one.workspace_id: one for one in some}
    return None


async def events(watch, count):
    """The next events, and where workspaces were placed before each."""
    placed, found = {}, []
    async for news in watch:
        match news:
            case Told(event, circles):
                found.append((event, circles, dict(placed)))
                if len(found) == count:
                    return found
            case Quiet():
                pass
            case some:
                placed |= {one.workspace_id: one for one in some}
    return None


async def test_who_begins_hears_where_everybody_stands_and_no_old_news(registry):
    root = await registry.create("root", **EXTERNAL)
    child = await registry.create("child", parent_id=root.id, **EXTERNAL)
    async with registry.following(), aclosing(registry.chronicle.watch(0)) as watch:
        placed, told, reached = await begun(watch)

    assert told == []
    assert reached == (await registry.events())[-1].event_id
    assert {*placed[child.id].published_to} == {
        *(
            EVERYTHING,
            name_org_audience(root.id),
            name_workspace_audience(child.id),
            f"beside:{root.id}",
            f"below:{root.id}",
        )
    }
    assert name_workspace_audience(root.id) in placed[child.id].subscribed_to


async def test_who_goes_on_hears_what_it_missed_and_then_what_happens(registry):
    one = await registry.create("one", **EXTERNAL)
    seen = (await registry.events())[0].event_id
    async with registry.following(), aclosing(registry.chronicle.watch(seen)) as watch:
        _, told, reached = await begun(watch)
        other = await registry.create("other", **EXTERNAL)
        live = await events(watch, 2)

    stored = await registry.events()
    assert [event.event_id for event in told] == [event.event_id for event in stored[1:2]]
    assert reached == stored[1].event_id
    assert [event for event, _, _ in live] == stored[2:]
    assert {event.workspace_id for event, _, _ in live} == {other.id} != {one.id}


@pytest.mark.covers("REG-32")
async def test_where_a_workspace_stands_is_told_before_the_news_of_it(registry):
    root, other = await registry.create("root", **EXTERNAL), await registry.create("other", **EXTERNAL)
    async with registry.following(), aclosing(registry.chronicle.watch(0)) as watch:
        await begun(watch)
        child = await registry.create("child", parent_id=root.id, **EXTERNAL)
        [(_, circles, placed), _] = await events(watch, 2)
        assert placed[child.id].published_to == circles

        await registry.editing.update(ADMIN, child.id, {"parent_id": other.id})
        await registry.register(await registry.get(child.id), url="")
        [(event, circles, placed)] = await events(watch, 1)

    assert event.type == "WORKSPACE_ONLINE"
    assert placed[child.id].published_to == circles
    assert name_org_audience(other.id) in circles
    assert name_org_audience(root.id) not in circles


async def test_the_last_news_of_a_purged_workspace_is_told_to_those_who_heard_of_it(registry):
    root = await registry.create("root", **EXTERNAL)
    child = await registry.create("child", parent_id=root.id, **EXTERNAL)
    async with registry.following(), aclosing(registry.chronicle.watch(0)) as watch:
        await begun(watch)
        await registry.removal.remove(ADMIN, child.id, confirm=True, purge=True)
        [(event, circles, _)] = await events(watch, 1)
        gone = await anext(watch)

    assert (event.type, event.workspace_id) == ("WORKSPACE_REMOVED", child.id)
    assert {name_workspace_audience(child.id), name_org_audience(root.id), EVERYTHING} <= {*circles}
    assert [(one.workspace_id, one.published_to, one.subscribed_to) for one in gone] == [(child.id, (), ())]


async def test_an_event_from_before_a_purge_is_told_to_those_who_need_no_place_in_the_tree(registry):
    root = await registry.create("root", **EXTERNAL)
    seen = (await registry.events())[-1].event_id
    await registry.removal.remove(ADMIN, root.id, confirm=True, purge=True)
    async with registry.following(), aclosing(registry.chronicle.watch(seen)) as watch:
        [(event, circles, _)] = await events_or_caught_up(watch)

    assert event.type == "WORKSPACE_REMOVED"
    assert circles == (EVERYTHING, name_org_audience(root.id), name_workspace_audience(root.id))


async def events_or_caught_up(watch):
    found = []
    async for news in watch:
        match news:
            case Told(event, circles):
                found.append((event, circles, {}))
            case CaughtUp():
                return found
            case _:
                pass
    return None


async def test_events_that_are_not_kept_any_more_are_not_passed_over_in_silence(registry):
    await registry.create()
    seen = (await registry.events())[0].event_id
    registry.clock.advance(days=31)
    await registry.create()
    await registry.create()
    registry.clock.advance(days=31)
    await registry.sweeps.delete_old_records()
    async with registry.following():
        with pytest.raises(EventIdGone):
            await begun(registry.chronicle.watch(seen))


async def test_every_event_is_told_once_and_in_order_by_every_replica(registry, database_url):
    made = [await registry.create(f"w{number}", **EXTERNAL) for number in range(4)]
    listener = NotificationListener(database_url, role=ROLE, channel=REVISION_CHANNEL)
    feed = Feed(registry.store, listener, replica_id="second")
    second = Chronicle(registry.store, feed)
    loops = [asyncio.ensure_future(loop) for loop in (listener.listen(), feed.run(), second.run())]
    async with (
        registry.following(),
        aclosing(registry.chronicle.watch(0)) as one,
        aclosing(second.watch(0)) as other,
    ):
        await begun(one)
        await begun(other)
        for turn in range(50):
            await asyncio.gather(*(note(registry, workspace, turn) for workspace in made))
        heard = [event.event_id for event, _, _ in await events(one, 200)]
        also = [event.event_id for event, _, _ in await events(other, 200)]
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)

    assert heard == also == sorted(set(heard))


async def note(registry, workspace, turn):
    async with registry.store.begin() as tx:
        known = await tx.get(workspace.id, lock=True)
        tx.save(known, EventDraft(EventType.AGENT_CARD_UPDATED, {"turn": turn}))


async def test_who_falls_behind_is_sent_away_to_come_back(registry):
    await registry.create()
    async with registry.following(), aclosing(registry.chronicle.watch(0)) as watch:
        await begun(watch)
        [watcher] = registry.chronicle._watchers
        told = Told(replace((await registry.events())[0], event_id=10**9), ())
        for _ in range(chronicle_module.BACKLOG + 1):
            watcher.hear(told)

        with pytest.raises(FeedOverrun):
            await anext(watch)
    assert registry.chronicle._watchers == set()


async def test_a_chronicle_says_that_it_is_alive(registry):
    async with registry.following(), aclosing(registry.chronicle.watch(0)) as watch:
        assert await begun(watch) == ({}, [], 0)
        assert await anext(watch) == Quiet()
