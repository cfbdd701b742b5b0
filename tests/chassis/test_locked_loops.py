"""Loops that run in one replica at a time, on a real PostgreSQL: two servers, one lock."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from services.chassis import database
from services.chassis.database import AdvisoryLock
from services.chassis.errors import Unavailable
from services.chassis.service import Loop
from tests.rpc import serve
from tests.waiting import eventually

OFTEN = timedelta(milliseconds=1)

MOVED_WITHIN = 10.0
"""Seconds until another replica ticks once the holder has lost its connection."""


class Pair:
    """Two replicas of one service; `ticks` records which one ticked."""

    def __init__(self, database_url, name):
        self.ticks = []
        self.cancelled = []
        self.stuck = set()
        self._url = database_url
        self._name = name
        self._replicas = AsyncExitStack()

    async def __aenter__(self):
        await self._replicas.__aenter__()
        for replica in ("one", "other"):
            loop = Loop(
                name="sweep",
                run=self._ticking(replica),
                every=OFTEN,
                lock=AdvisoryLock(self._url, role=None, name=self._name),
            )
            await self._replicas.enter_async_context(serve([], [loop]))
        return self

    async def __aexit__(self, *error):
        await self._replicas.__aexit__(*error)

    def _ticking(self, replica):
        async def tick():
            self.ticks.append(replica)
            try:
                if replica in self.stuck:
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(replica)
                raise

        return tick

    async def cut_the_holder(self):
        """The connection that holds the lock ends, as it does when its server or its network dies."""
        async with database.open_engine(self._url, role=None) as engine, database.transaction(engine) as connection:
            await connection.execute(
                text("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted")
            )


@pytest.mark.covers("BEY-19")
async def test_one_of_two_replicas_ticks_and_the_other_takes_over_when_the_lock_is_lost(database_url):
    async with Pair(database_url, "test.pair") as pair:
        await eventually(lambda: len(pair.ticks) >= 100, within=MOVED_WITHIN)
        [first] = set(pair.ticks)

        await pair.cut_the_holder()
        [other] = await eventually(lambda: set(pair.ticks) - {first}, within=MOVED_WITHIN)
        # The first learns of its loss when it next proves that it holds the lock, and stops.
        await eventually(lambda: set(pair.ticks[-100:]) == {other}, within=MOVED_WITHIN)


@pytest.mark.covers("BEY-19")
async def test_a_tick_is_cancelled_when_the_lock_is_lost(database_url):
    async with Pair(database_url, "test.pair.stuck") as pair:
        pair.stuck = {"one", "other"}
        await eventually(lambda: pair.ticks, within=MOVED_WITHIN)
        [first] = pair.ticks

        await pair.cut_the_holder()
        await eventually(lambda: len(pair.ticks) > 1, within=MOVED_WITHIN)
        await eventually(lambda: pair.cancelled, within=MOVED_WITHIN)

        assert pair.cancelled == [first]


@pytest.mark.covers("BEY-19")
@pytest.mark.covers("OPS-16")
async def test_a_failed_tick_is_logged_and_repeated_in_the_same_replica(database_url):
    ticks = []

    async def tick():
        ticks.append(1)
        raise Unavailable

    loop = Loop(name="failing", run=tick, every=OFTEN, lock=AdvisoryLock(database_url, role=None, name="test.vain"))
    with capture_logs() as logged:
        async with serve([], [loop]):
            await eventually(lambda: len(ticks) > 3, within=MOVED_WITHIN)

    assert {"log_level": "warning", "loop": "failing"}.items() <= next(
        entry.items() for entry in logged if entry.get("loop")
    )
    assert [entry["log_level"] for entry in logged if entry["event"] == "lock taken"] == ["debug"]
