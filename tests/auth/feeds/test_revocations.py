"""Tests the feed of revocations."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from uuid import uuid4

import pytest

from services.auth.app import service
from services.auth.feeds.revocations import MAX_REVOCATIONS_PER_READ, RevocationFeed
from services.auth.model.feeds import Keepalive
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import Revocation, RevokedAll, RevokedToken, RevokedWorkspace
from services.auth.rules.token_text import digest_token
from services.auth.store.revocations import INITIAL_REVISION, REVOCATIONS_CHANNEL
from services.chassis import database
from services.chassis.database import NotificationListener
from services.chassis.errors import Unavailable
from services.chassis.feeds import FEED_SIGN_INTERVAL


@pytest.fixture
def bar(placements):
    """Bars a new workspace, and returns its id."""

    async def bar_new_workspace():
        membership = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
        await placements.bar(membership.workspace_id)
        return membership.workspace_id

    return bar_new_workspace


async def receive(feed, watch, count):
    """Return the next `count` messages, and poll the feed until they arrive."""

    async def poll_forever():
        while True:
            await feed.poll()

    polling = asyncio.ensure_future(poll_forever())
    try:
        async with asyncio.timeout(10):
            return [await anext(watch) for _ in range(count)]
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


async def test_a_stream_begins_with_the_current_revision(feed):
    async with aclosing(feed.watch(0)) as watch:
        assert await receive(feed, watch, 1) == [Keepalive(INITIAL_REVISION)]


async def test_a_reader_from_zero_receives_later_revocations_and_no_earlier_ones(feed, bar):
    await bar()
    async with aclosing(feed.watch(0)) as watch:
        (start,) = await receive(feed, watch, 1)
        barred = await bar()
        assert await receive(feed, watch, 1) == [Revocation(start.position + 1, RevokedWorkspace(barred))]


async def test_a_reader_that_returns_receives_the_revocations_it_missed_in_order(feed, bar):
    async with aclosing(feed.watch(0)) as watch:
        (start,) = await receive(feed, watch, 1)
    missed = [await bar() for _ in range(5)]
    async with aclosing(feed.watch(start.position)) as watch:
        messages = await receive(feed, watch, 6)
    assert messages[0] == Keepalive(start.position)
    assert [message.target for message in messages[1:]] == [RevokedWorkspace(workspace) for workspace in missed]


async def test_a_new_feed_loads_the_revocations_of_the_table(feed, bar, store):
    missed = [await bar() for _ in range(3)]
    async with aclosing(feed.watch(INITIAL_REVISION)) as watch:
        messages = await receive(feed, watch, 4)
    assert [message.target for message in messages[1:]] == [RevokedWorkspace(workspace) for workspace in missed]


async def test_the_revocation_of_a_token_carries_its_digest(feed, credential_service, workspace):
    issued = await credential_service.issue(workspace, generation=None)
    async with aclosing(feed.watch(0)) as watch:
        await receive(feed, watch, 1)
        await credential_service.revoke(workspace, only=issued.token_id)
        (message,) = await receive(feed, watch, 1)
    assert message.target == RevokedToken(digest_token(issued.text))


async def test_a_reader_that_missed_more_than_is_kept_receives_revoked_all(store, feed, bar):
    short = RevocationFeed(store, feed._poller._listener, max_kept=3)
    for _ in range(5):
        await bar()
    async with aclosing(short.watch(INITIAL_REVISION)) as watch:
        _, message = await receive(short, watch, 2)
        assert isinstance(message, RevokedAll)
        barred = await bar()
        assert await receive(short, watch, 1) == [Revocation(message.revision + 1, RevokedWorkspace(barred))]


async def test_a_slow_reader_that_falls_behind_receives_revoked_all(store, feed, bar):
    short = RevocationFeed(store, feed._poller._listener, max_kept=3)
    async with aclosing(short.watch(0)) as watch:
        await receive(short, watch, 1)
        for _ in range(10):
            await bar()
            await short.poll()
        (message,) = await receive(short, watch, 1)
    assert isinstance(message, RevokedAll)


async def test_a_reader_after_an_unknown_revision_receives_revoked_all(feed, bar):
    await bar()
    async with aclosing(feed.watch(10**12)) as watch:
        _, message = await receive(feed, watch, 2)
    assert isinstance(message, RevokedAll)
    assert message.revision < 10**12


async def test_pruning_keeps_the_newest_revocations_and_readers_that_missed_more_receive_revoked_all(store, feed, bar):
    for _ in range(6):
        await bar()
    async with store.begin() as tx:
        assert await tx.revocations.prune(keep=2) == 4
    async with store.begin() as tx:
        assert await tx.revocations.prune(keep=2) == 0
        kept = [revocation.revision for revocation in await tx.revocations.list_after(0, limit=10)]
    async with aclosing(feed.watch(kept[0] - 1)) as watch:
        keepalive, *missed = await receive(feed, watch, 3)
    assert keepalive == Keepalive(kept[0] - 1)
    assert [message.revision for message in missed] == kept
    async with aclosing(feed.watch(kept[0] - 2)) as watch:
        assert isinstance((await receive(feed, watch, 2))[1], RevokedAll)


async def test_pruning_keeps_the_revocations_that_the_feed_keeps(feed, bar, store):
    await bar()
    await feed.prune()
    async with store.reading() as tx:
        assert len(await tx.revocations.list_after(0, limit=10)) == 1


async def test_many_revocations_are_read_in_batches(feed, store, clock):
    async with store.begin() as tx:
        scopes = [RevokedWorkspace(WorkspaceId(str(number))) for number in range(MAX_REVOCATIONS_PER_READ * 2 + 1)]
        await tx.revocations.publish(scopes, now=clock.now())
    async with aclosing(feed.watch(INITIAL_REVISION)) as watch:
        messages = await receive(feed, watch, len(scopes) + 1)
    assert [message.target for message in messages[1:]] == scopes


async def test_a_stream_without_revocations_carries_keepalives(feed):
    started = asyncio.get_running_loop().time()
    async with aclosing(feed.watch(0)) as watch:
        assert await receive(feed, watch, 2) == [Keepalive(INITIAL_REVISION)] * 2
    assert asyncio.get_running_loop().time() - started >= FEED_SIGN_INTERVAL.total_seconds()


@pytest.mark.covers("BEY-05")
async def test_a_feed_that_cannot_read_the_table_sends_nothing(feed, database_url):
    async with aclosing(feed.watch(0)) as watch:
        await receive(feed, watch, 1)
        async with database.open_engine(f"{database_url}x", role=service.build_role()) as nowhere:
            feed._store._reads = nowhere
            with pytest.raises(Unavailable):
                await poll_until_broken(feed, watch)


async def poll_until_broken(feed, watch):
    """Poll the feed while a reader waits; polling fails before the reader receives a message."""
    listening = asyncio.ensure_future(anext(watch))
    try:
        await feed.poll()
    finally:
        assert not listening.done()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_committed_revocation_notifies_the_listener(store, database_url, bar):
    listener = NotificationListener(database_url, role=service.build_role(), channel=REVOCATIONS_CHANNEL)
    feed = RevocationFeed(store, listener)
    listening = asyncio.ensure_future(listener.listen())
    try:
        async with aclosing(feed.watch(0)) as watch:
            await receive(feed, watch, 1)
            ringing = asyncio.ensure_future(listener.wait(within=timedelta(seconds=5)))
            await bar()
            assert await ringing
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
