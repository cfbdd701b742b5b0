"""The database module on a real PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.chassis import database
from services.chassis.errors import Unavailable
from tests.waiting import eventually


async def test_an_engine_connects_in_its_role(database_url):
    async with (
        database.open_engine(database_url, role="molecule_auth") as engine,
        database.transaction(engine) as connection,
    ):
        assert await connection.scalar(text("select current_user")) == "molecule_auth"


async def test_a_role_may_not_read_another_schema(database_url):
    async with database.open_engine(database_url, role="molecule_auth") as engine:
        with pytest.raises(Exception, match="permission denied for schema registry"):
            async with database.transaction(engine) as connection:
                await connection.execute(text("create table registry.intruder (id int)"))


async def test_a_missing_database_is_unavailable(tmp_path):
    async with database.open_engine(f"postgresql://user@/missing?host={tmp_path}", role=None) as engine:
        with pytest.raises(Unavailable):
            async with database.transaction(engine):
                pass


async def test_a_connection_that_ends_during_a_transaction_is_unavailable(database_url):
    async with database.open_engine(database_url, role=None) as engine:
        with pytest.raises(Unavailable):
            async with database.transaction(engine) as connection:
                await connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))


async def test_only_the_lock_holder_works_and_the_next_one_takes_over(database_url):
    working: list[str] = []

    def holder(name: str) -> asyncio.Task[None]:
        async def work() -> None:
            working.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                working.remove(name)

        return asyncio.ensure_future(database.AdvisoryLock(database_url, role=None, name="test.alone").run(work))

    first = holder("first")
    await eventually(lambda: working == ["first"])
    second = holder("second")
    first.cancel()
    await eventually(lambda: working == ["second"], within=10)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_a_lock_holder_that_loses_its_connection_stops_working(database_url):
    started, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    alone = asyncio.ensure_future(database.AdvisoryLock(database_url, role=None, name="test.cut").run(work))
    await asyncio.wait_for(started.wait(), 10)

    async with database.open_engine(database_url, role=None) as engine, database.transaction(engine) as connection:
        await connection.execute(
            text(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
            )
        )

    await asyncio.wait_for(stopped.wait(), 10)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)


async def test_a_notification_wakes_a_waiting_reader(database_url):
    listener = database.NotificationListener(database_url, role=None, channel="test_channel")
    listening = asyncio.ensure_future(listener.listen())
    timeout = timedelta(seconds=10)
    assert await listener.wait(timeout)  # connecting counts as a notification

    waiting = asyncio.ensure_future(listener.wait(timeout))
    await asyncio.sleep(0)
    async with database.open_engine(database_url, role=None) as engine, database.transaction(engine) as connection:
        await connection.execute(text("select pg_notify('test_channel', '')"))

    assert await waiting
    async with database.open_engine(database_url, role=None) as engine, database.transaction(engine) as connection:
        await connection.execute(text("select pg_notify('test_channel', '')"))
    await eventually(lambda: listener.wait(timedelta(0)))  # a notification is kept while no reader waits
    assert not await listener.wait(timedelta(0))
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.covers("OPS-01")
@pytest.mark.parametrize("mode", ["disable", "prefer"])
async def test_the_ssl_mode_of_the_url_is_passed_on(database_url, mode):
    url = f"{database_url}{'&' if '?' in database_url else '?'}sslmode={mode}"

    connection = await database.connect(url, role=None)
    await connection.close()
    async with database.open_engine(url, role=None) as engine, database.transaction(engine) as transaction:
        assert (await transaction.execute(text("select 1"))).scalar() == 1
