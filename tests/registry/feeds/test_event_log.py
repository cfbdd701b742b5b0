import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.chassis.database import NotificationListener
from services.registry.app import service
from services.registry.errors.events import EventIdGone
from services.registry.errors.workspaces import FeedOverrun
from services.registry.feeds import event_log as module
from services.registry.feeds.event_log import EventLog, EventLogKeepalive, PublishedEvent, ReplayDone
from services.registry.feeds.workspace_feed import WorkspaceFeed
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.workspace.audiences import EVERYTHING, name_org_audience, name_workspace_audience
from services.registry.workspace.events import EventDraft, EventType
from tests.registry.conftest import ADMIN

EXTERNAL = {"runtime": "external"}


async def read_replay(watch):
    """The audiences of workspaces, the replayed events, and the id at which the replay is done."""
    audiences, replayed = {}, []
    async for update in watch:
        match update:
            case ReplayDone(event_id):
                return audiences, replayed, event_id
            case PublishedEvent(event, _, _):
                replayed.append(event)
            case workspaces:
                audiences |= {one.workspace_id: one for one in workspaces}
    return None


async def read_events(watch, count):
    """The next events, their audiences, and the audiences of workspaces that were sent before each."""
    audiences, found = {}, []
    async for update in watch:
        match update:
            case PublishedEvent(event, published_to, _):
                found.append((event, published_to, dict(audiences)))
                if len(found) == count:
                    return found
            case EventLogKeepalive():
                pass
            case workspaces:
                audiences |= {one.workspace_id: one for one in workspaces}
    return None


async def test_a_new_watch_receives_the_audiences_of_every_workspace_and_no_old_event(registry):
    root = await registry.create("root", **EXTERNAL)
    child = await registry.create("child", parent_id=root.id, **EXTERNAL)
    async with registry.following(), aclosing(registry.event_log.watch(0)) as watch:
        audiences, replayed, reached = await read_replay(watch)

    assert replayed == []
    assert reached == (await registry.events())[-1].event_id
    assert {*audiences[child.id].published_to} == {
        EVERYTHING,
        name_org_audience(root.id),
        name_workspace_audience(child.id),
    }
    assert {*audiences[child.id].announced_to} == {f"beside:{root.id}", f"ancestor:{child.id}", f"below:{root.id}"}
    assert {name_workspace_audience(child.id), f"ancestor:{root.id}"} <= {*audiences[child.id].subscribed_to}


async def test_a_watch_that_resumes_receives_missed_events_and_then_new_ones(registry):
    one = await registry.create("one", **EXTERNAL)
    seen = (await registry.events())[0].event_id
    async with registry.following(), aclosing(registry.event_log.watch(seen)) as watch:
        _, replayed, reached = await read_replay(watch)
        other = await registry.create("other", **EXTERNAL)
        live = await read_events(watch, 2)

    stored = await registry.events()
    assert [event.event_id for event in replayed] == [event.event_id for event in stored[1:2]]
    assert reached == stored[1].event_id
    assert [event for event, _, _ in live] == stored[2:]
    assert {event.workspace_id for event, _, _ in live} == {other.id} != {one.id}


@pytest.mark.covers("REG-32")
async def test_the_audiences_of_a_workspace_are_sent_before_its_events(registry):
    root, other = await registry.create("root", **EXTERNAL), await registry.create("other", **EXTERNAL)
    async with registry.following(), aclosing(registry.event_log.watch(0)) as watch:
        await read_replay(watch)
        child = await registry.create("child", parent_id=root.id, **EXTERNAL)
        [(_, published_to, audiences), _] = await read_events(watch, 2)
        assert audiences[child.id].published_to == published_to

        await registry.updater.update(ADMIN, child.id, {"parent_id": other.id})
        await registry.register(await registry.get(child.id), url="")
        [(event, published_to, audiences)] = await read_events(watch, 1)

    assert event.type == "WORKSPACE_ONLINE"
    assert audiences[child.id].published_to == published_to
    assert name_org_audience(other.id) in published_to
    assert name_org_audience(root.id) not in published_to


async def test_the_last_event_of_a_purged_workspace_reaches_its_audiences(registry):
    root = await registry.create("root", **EXTERNAL)
    child = await registry.create("child", parent_id=root.id, **EXTERNAL)
    async with registry.following(), aclosing(registry.event_log.watch(0)) as watch:
        await read_replay(watch)
        await registry.removal.remove(ADMIN, child.id, confirm=True, purge=True)
        [(event, published_to, _)] = await read_events(watch, 1)
        purged = await anext(watch)

    assert (event.type, event.workspace_id) == ("WORKSPACE_REMOVED", child.id)
    assert {name_workspace_audience(child.id), name_org_audience(root.id), EVERYTHING} <= {*published_to}
    assert [(one.workspace_id, one.published_to, one.subscribed_to) for one in purged] == [(child.id, (), ())]


async def test_an_event_from_before_a_purge_reaches_the_audiences_that_need_no_position(registry):
    root = await registry.create("root", **EXTERNAL)
    seen = (await registry.events())[-1].event_id
    await registry.removal.remove(ADMIN, root.id, confirm=True, purge=True)
    async with registry.following(), aclosing(registry.event_log.watch(seen)) as watch:
        [(event, published_to, _)] = await read_events_of_replay(watch)

    assert event.type == "WORKSPACE_REMOVED"
    assert published_to == (EVERYTHING, name_org_audience(root.id), name_workspace_audience(root.id))


async def read_events_of_replay(watch):
    found = []
    async for update in watch:
        match update:
            case PublishedEvent(event, published_to, _):
                found.append((event, published_to, {}))
            case ReplayDone():
                return found
            case _:
                pass
    return None


async def test_a_watch_after_deleted_events_is_refused(registry):
    await registry.create()
    seen = (await registry.events())[0].event_id
    registry.clock.advance(days=31)
    await registry.create()
    await registry.create()
    registry.clock.advance(days=31)
    await registry.sweeps.delete_old_records()
    async with registry.following():
        with pytest.raises(EventIdGone):
            await read_replay(registry.event_log.watch(seen))


async def test_every_replica_sends_every_event_once_and_in_order(registry, database_url):
    made = [await registry.create(f"w{number}", **EXTERNAL) for number in range(4)]
    notifications = NotificationListener(database_url, role=service.build_role(), channel=REVISION_CHANNEL)
    feed = WorkspaceFeed(registry.store, notifications, replica_id="second")
    second = EventLog(registry.store, feed)
    loops = [asyncio.ensure_future(loop) for loop in (notifications.listen(), feed.run(), second.run())]
    async with (
        registry.following(),
        aclosing(registry.event_log.watch(0)) as one,
        aclosing(second.watch(0)) as other,
    ):
        await read_replay(one)
        await read_replay(other)
        for turn in range(50):
            await asyncio.gather(*(add_event(registry, workspace, turn) for workspace in made))
        first = [event.event_id for event, _, _ in await read_events(one, 200)]
        other_ids = [event.event_id for event, _, _ in await read_events(other, 200)]
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)

    assert first == other_ids == sorted(set(first))


async def add_event(registry, workspace, turn):
    async with registry.store.begin() as tx:
        known = await tx.get(workspace.id, lock=True)
        tx.save(known, EventDraft(EventType.AGENT_CARD_UPDATED, {"turn": turn}))


async def test_a_subscriber_that_reads_too_slowly_gets_an_overrun_error(registry):
    await registry.create()
    async with registry.following(), aclosing(registry.event_log.watch(0)) as watch:
        await read_replay(watch)
        [subscription] = registry.event_log._fan_out._subscriptions
        published = PublishedEvent(replace((await registry.events())[0], event_id=10**9), ())
        for _ in range(module.MAX_UNREAD_UPDATES + 1):
            subscription.put(published)

        with pytest.raises(FeedOverrun):
            await anext(watch)
    assert registry.event_log._fan_out._subscriptions == set()


async def test_an_idle_event_log_sends_keepalives(registry):
    async with registry.following(), aclosing(registry.event_log.watch(0)) as watch:
        assert await read_replay(watch) == ({}, [], 0)
        assert await anext(watch) == EventLogKeepalive()
