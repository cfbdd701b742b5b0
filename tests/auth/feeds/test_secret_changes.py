"""Tests the feed of secret changes."""

import asyncio
from contextlib import aclosing

import pytest

from services.auth.app import service
from services.auth.feeds.secret_changes import SecretChangeFeed
from services.auth.model.feeds import Keepalive
from services.auth.model.vault import SecretChange
from services.auth.store.vault import VAULT_CHANNEL
from services.auth.vault.sealing import Sealer
from services.auth.vault.secrets import Vault
from services.chassis.database import NotificationListener
from tests.auth.conftest import SEALING_KEY, SilentListener
from tests.auth.vault.test_secrets import ADMIN


@pytest.fixture
def vault(store, audit_log, clock):
    return Vault(store, audit_log=audit_log, sealer=Sealer.parse(SEALING_KEY), clock=clock)


@pytest.fixture
def changes(store, database_url):
    """A feed that the test polls."""
    return SecretChangeFeed(store, SilentListener(database_url, role=service.build_role(), channel=VAULT_CHANNEL))


async def some(feed, count):
    return [await anext(feed) for _ in range(count)]


async def test_a_reader_from_zero_receives_the_last_change_of_every_secret(vault, changes, membership):
    workspace = membership.workspace_id
    await vault.set(ADMIN, workspace, "OWN", "1")
    await vault.set(ADMIN, None, "OWN", "2")

    async with aclosing(changes.watch(0)) as feed:
        own, of_all = await some(feed, 2)

    assert (own.workspace_id, own.key, own.overridden_by) == (workspace, "OWN", ())
    assert (of_all.workspace_id, of_all.key, of_all.overridden_by) == (None, "OWN", (workspace,))
    assert own.id < of_all.id


async def test_a_reader_that_returns_receives_the_changes_it_missed(vault, changes):
    await vault.set(ADMIN, None, "A", "1")
    async with aclosing(changes.watch(0)) as feed:
        [first] = await some(feed, 1)
    await vault.set(ADMIN, None, "B", "1")

    async with aclosing(changes.watch(first.id)) as feed:
        [second] = await some(feed, 1)

    assert second.key == "B"


async def test_a_stream_without_changes_begins_with_a_keepalive(changes):
    async with aclosing(changes.watch(0)) as feed:
        assert await anext(feed) == Keepalive(0)


async def test_a_change_arrives_when_it_is_committed(store, vault, database_url):
    listener = NotificationListener(database_url, role=service.build_role(), channel=VAULT_CHANNEL)
    changes = SecretChangeFeed(store, listener)

    async def polling():
        while True:
            await changes.poll()

    tasks = [asyncio.ensure_future(listener.listen()), asyncio.ensure_future(polling())]
    try:
        async with aclosing(changes.watch(0)) as feed:
            assert await anext(feed) == Keepalive(0)
            await vault.set(ADMIN, None, "KEY", "1")
            async with asyncio.timeout(2):
                news = await anext(feed)
        assert isinstance(news, SecretChange)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_reader_misses_no_change_while_others_write(vault, changes):
    """Ids are committed in order, so a reader that has read one has read all before it."""
    seen, stop = [], asyncio.Event()

    async def read():
        async with aclosing(changes.watch(0)) as feed:
            while len(seen) < 60:
                news = await anext(feed)
                if isinstance(news, SecretChange):
                    seen.append(news.key)

    async def turn():
        while not stop.is_set():
            await changes.poll()
            await asyncio.sleep(0)

    async def write(name):
        for number in range(20):
            await vault.set(ADMIN, None, f"{name}{number}", "v")

    polling = asyncio.ensure_future(turn())
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(read(), *(write(name) for name in "ABC"))
    finally:
        stop.set()
        await polling

    assert sorted(seen) == sorted(f"{name}{number}" for name in "ABC" for number in range(20))


async def test_no_change_is_visible_before_one_with_a_lower_id(store, clock):
    """A later transaction waits until an earlier one commits; otherwise a reader would skip its changes."""

    async def tell(key):
        async with store.begin() as tx:
            await tx.vault.publish_change(None, key, now=clock.now())

    async def seen():
        async with store.begin() as tx:
            return [change.key for change in await tx.vault.list_changes_after(0, limit=100)]

    for _ in range(50):
        before = await seen()
        async with store.begin() as first:
            await first.vault.publish_change(None, "A", now=clock.now())
            second = asyncio.ensure_future(tell("B"))
            await asyncio.wait({second}, timeout=0.02)
            assert await seen() == before
        await second
        assert await seen() == ["A", "B"]
