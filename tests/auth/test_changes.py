"""Changes of secrets, as the registry hears of them."""

import asyncio
from contextlib import aclosing

import pytest

from services.auth.app import ROLE
from services.auth.changes import SecretChangeFeed
from services.auth.model import Keepalive, SecretChange
from services.auth.sealing import Sealer
from services.auth.store.vault import CHANNEL, VaultStore
from services.auth.vault import Vault
from services.chassis.database import NotificationListener
from tests.auth.conftest import SEALING_KEY, SilentListener
from tests.auth.test_vault import ADMIN


@pytest.fixture
def shelf(engine):
    return VaultStore(engine)


@pytest.fixture
def vault(shelf, audit, clock):
    return Vault(shelf, audit=audit, sealer=Sealer.parse(SEALING_KEY), clock=clock)


@pytest.fixture
def changes(shelf, database_url):
    """Changes whose bell never rings; turned by hand."""
    return SecretChangeFeed(shelf, SilentListener(database_url, role=ROLE, channel=CHANNEL))


async def some(feed, count):
    return [await anext(feed) for _ in range(count)]


async def test_who_begins_anew_is_told_everything_and_then_that_all_is_quiet(vault, changes, home):
    workspace = home.workspace_id
    await vault.set(ADMIN, workspace, "OWN", "1")
    await vault.set(ADMIN, None, "OWN", "2")

    async with aclosing(changes.watch(0)) as feed:
        own, of_all = await some(feed, 2)

    assert (own.workspace_id, own.key, own.overridden_by) == (workspace, "OWN", ())
    assert (of_all.workspace_id, of_all.key, of_all.overridden_by) == (None, "OWN", (workspace,))
    assert own.id < of_all.id


async def test_who_comes_back_is_told_what_came_after(vault, changes):
    await vault.set(ADMIN, None, "A", "1")
    async with aclosing(changes.watch(0)) as feed:
        [first] = await some(feed, 1)
    await vault.set(ADMIN, None, "B", "1")

    async with aclosing(changes.watch(first.id)) as feed:
        [second] = await some(feed, 1)

    assert second.key == "B"


async def test_a_quiet_feed_says_that_it_is_alive_first_of_all(changes):
    async with aclosing(changes.watch(0)) as feed:
        assert await anext(feed) == Keepalive(0)


async def test_a_change_is_told_as_it_happens(shelf, vault, database_url):
    bell = NotificationListener(database_url, role=ROLE, channel=CHANNEL)
    changes = SecretChangeFeed(shelf, bell)

    async def turning():
        while True:
            await changes.turn()

    tasks = [asyncio.ensure_future(bell.listen()), asyncio.ensure_future(turning())]
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


async def test_nobody_who_reads_while_others_write_misses_a_change(vault, changes):
    """Ids are committed in their order: whoever has read one has read all before it."""
    seen, stop = [], asyncio.Event()

    async def read():
        async with aclosing(changes.watch(0)) as feed:
            while len(seen) < 60:
                news = await anext(feed)
                if isinstance(news, SecretChange):
                    seen.append(news.key)

    async def turn():
        while not stop.is_set():
            await changes.turn()
            await asyncio.sleep(0)

    async def write(name):
        for number in range(20):
            await vault.set(ADMIN, None, f"{name}{number}", "v")

    turning = asyncio.ensure_future(turn())
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(read(), *(write(name) for name in "ABC"))
    finally:
        stop.set()
        await turning

    assert sorted(seen) == sorted(f"{name}{number}" for name in "ABC" for number in range(20))


async def test_no_change_is_seen_before_one_with_a_lower_id(shelf, clock):
    """Whoever tells later waits for whoever has told and not committed: a reader would skip what comes between."""

    async def tell(key):
        async with shelf.begin() as tx:
            await tx.tell(None, key, now=clock.now())

    async def seen():
        async with shelf.begin() as tx:
            return [change.key for change in await tx.changes(after=0, at_most=100)]

    for _ in range(50):
        before = await seen()
        async with shelf.begin() as first:
            await first.tell(None, "A", now=clock.now())
            second = asyncio.ensure_future(tell("B"))
            await asyncio.wait({second}, timeout=0.02)
            assert await seen() == before
        await second
        assert await seen() == ["A", "B"]
