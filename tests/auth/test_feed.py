"""The feed: from a revision on, nothing missed, and silent when it knows nothing."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from uuid import uuid4

import pytest

from services.auth import feed as feed_module
from services.auth.app import ROLE
from services.auth.feed import RevocationFeed
from services.auth.model import (
    Keepalive,
    OrgMembership,
    Revocation,
    RevokedAll,
    RevokedToken,
    RevokedWorkspace,
    WorkspaceId,
)
from services.auth.store.keys import CHANNEL, INITIAL_REVISION
from services.auth.tokens import digest_token
from services.chassis import database
from services.chassis.database import NotificationListener
from services.chassis.errors import Unavailable


@pytest.fixture
def bar(keyring):
    """Bar a new workspace, and say which."""

    async def barred():
        home = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
        await keyring.bar(home.workspace_id)
        return home.workspace_id

    return barred


async def told(feed, watch, count):
    """The next `count` messages, with the reader turned until they are there."""

    async def turns():
        while True:
            await feed.read()

    turning = asyncio.ensure_future(turns())
    try:
        async with asyncio.timeout(10):
            return [await anext(watch) for _ in range(count)]
    finally:
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)


async def test_a_watcher_is_first_told_where_the_feed_stands(feed):
    async with aclosing(feed.watch(0)) as watch:
        assert await told(feed, watch, 1) == [Keepalive(INITIAL_REVISION)]


async def test_a_watcher_from_the_present_hears_what_happens_next_and_nothing_before(feed, bar):
    await bar()
    async with aclosing(feed.watch(0)) as watch:
        (stands,) = await told(feed, watch, 1)
        barred = await bar()
        assert await told(feed, watch, 1) == [Revocation(stands.revision + 1, RevokedWorkspace(barred))]


async def test_a_watcher_who_comes_back_hears_what_was_missed_in_order(feed, bar):
    async with aclosing(feed.watch(0)) as watch:
        (stands,) = await told(feed, watch, 1)
    missed = [await bar() for _ in range(5)]
    async with aclosing(feed.watch(stands.revision)) as watch:
        messages = await told(feed, watch, 6)
    assert messages[0] == Keepalive(stands.revision)
    assert [message.scope for message in messages[1:]] == [RevokedWorkspace(workspace) for workspace in missed]


async def test_a_feed_that_starts_anew_still_knows_what_is_in_the_table(feed, bar, store):
    missed = [await bar() for _ in range(3)]
    async with aclosing(feed.watch(INITIAL_REVISION)) as watch:
        messages = await told(feed, watch, 4)
    assert [message.scope for message in messages[1:]] == [RevokedWorkspace(workspace) for workspace in missed]


async def test_a_revoked_token_is_told_by_its_digest(feed, keyring, workspace):
    issued = await keyring.issue(workspace, generation=None)
    async with aclosing(feed.watch(0)) as watch:
        await told(feed, watch, 1)
        await keyring.revoke(workspace, only=issued.token_id)
        (message,) = await told(feed, watch, 1)
    assert message.scope == RevokedToken(digest_token(issued.text))


async def test_who_missed_more_than_is_remembered_is_told_that_all_is_void(store, feed, bar):
    short = RevocationFeed(store, feed._bell, memory=3)
    for _ in range(5):
        await bar()
    async with aclosing(short.watch(INITIAL_REVISION)) as watch:
        _, message = await told(short, watch, 2)
        assert isinstance(message, RevokedAll)
        barred = await bar()
        assert await told(short, watch, 1) == [Revocation(message.revision + 1, RevokedWorkspace(barred))]


async def test_a_slow_watcher_who_falls_behind_is_told_that_all_is_void(store, feed, bar):
    short = RevocationFeed(store, feed._bell, memory=3)
    async with aclosing(short.watch(0)) as watch:
        await told(short, watch, 1)
        for _ in range(10):
            await bar()
            await short.read()
        (message,) = await told(short, watch, 1)
    assert isinstance(message, RevokedAll)


async def test_a_revision_that_never_was_is_told_that_all_is_void(feed, bar):
    await bar()
    async with aclosing(feed.watch(10**12)) as watch:
        _, message = await told(feed, watch, 2)
    assert isinstance(message, RevokedAll)
    assert message.revision < 10**12


async def test_pruning_keeps_the_newest_and_those_who_missed_more_know_it(store, feed, bar):
    for _ in range(6):
        await bar()
    async with store.begin() as tx:
        assert await tx.prune_revocations(keep=2) == 4
    async with store.begin() as tx:
        assert await tx.prune_revocations(keep=2) == 0
        kept = [revocation.revision for revocation in await tx.revocations(after=0, at_most=10)]
    async with aclosing(feed.watch(kept[0] - 1)) as watch:
        assert [message.revision for message in await told(feed, watch, 3)] == [kept[0] - 1, *kept]
    async with aclosing(feed.watch(kept[0] - 2)) as watch:
        assert isinstance((await told(feed, watch, 2))[1], RevokedAll)


async def test_the_feed_prunes_no_more_than_it_forgets(feed, bar, store):
    await bar()
    await feed.prune()
    async with store.reading() as tx:
        assert len(await tx.revocations(after=0, at_most=10)) == 1


async def test_many_are_told_in_batches(feed, store, clock):
    async with store.begin() as tx:
        scopes = [
            RevokedWorkspace(WorkspaceId(str(number))) for number in range(feed_module.MAX_REVOCATIONS_PER_READ * 2 + 1)
        ]
        await tx.announce(scopes, now=clock.now())
    async with aclosing(feed.watch(INITIAL_REVISION)) as watch:
        messages = await told(feed, watch, len(scopes) + 1)
    assert [message.scope for message in messages[1:]] == scopes


async def test_a_quiet_feed_gives_a_sign_of_life(feed):
    started = asyncio.get_running_loop().time()
    async with aclosing(feed.watch(0)) as watch:
        assert await told(feed, watch, 2) == [Keepalive(INITIAL_REVISION)] * 2
    assert asyncio.get_running_loop().time() - started >= feed_module.SIGN_OF_LIFE.total_seconds()


@pytest.mark.covers("BEY-05")
async def test_a_feed_that_cannot_read_says_nothing(feed, database_url):
    async with aclosing(feed.watch(0)) as watch:
        await told(feed, watch, 1)
        async with database.open_engine(f"{database_url}x", role=ROLE) as nowhere:
            feed._store._reads = nowhere
            with pytest.raises(Unavailable):
                await told_until_broken(feed, watch)


async def told_until_broken(feed, watch):
    """Turn the reader while the watcher listens; the reader's failure comes before any message."""
    listening = asyncio.ensure_future(anext(watch))
    try:
        await feed.read()
    finally:
        assert not listening.done()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_the_bell_brings_a_revocation_at_once(store, database_url, bar):
    bell = NotificationListener(database_url, role=ROLE, channel=CHANNEL)
    feed = RevocationFeed(store, bell)
    listening = asyncio.ensure_future(bell.listen())
    try:
        async with aclosing(feed.watch(0)) as watch:
            await told(feed, watch, 1)
            ringing = asyncio.ensure_future(bell.wait(within=timedelta(seconds=5)))
            await bar()
            assert await ringing
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
