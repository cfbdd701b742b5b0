"""What the services do while PostgreSQL refuses, loses or ignores connections."""

import asyncio
import os
import signal
import sys
from base64 import b64encode
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from services.chassis import database
from services.chassis.database_outage import OutageLog, is_outage
from services.chassis.errors import Unavailable
from services.chassis.service import Loop
from tests.chassis.refusing_postgres import run_refusing_postgres
from tests.rpc import serve
from tests.waiting import eventually

CONNECTION_REFUSALS = [
    "57P01",
    "57P02",
    "57P03",
    "57P05",
    "53300",
    "53200",
    "25006",
    "08006",
    "08004",
    "28P01",
    "3D000",
]
"""States with which a server refuses a connection: it starts, stops, is full, or does not know the user."""

STATEMENT_REFUSALS = ["57P01", "57P02", "57P03", "53300", "53100", "25006", "08006", "40001", "40P01", "55P03", "58030"]
"""States with which a server ends a statement for a reason of its own."""


PID = "select pg_backend_pid()"


async def run(engine, statement, **options):
    async with database.transaction(engine, **options) as connection:
        result = await connection.execute(text(statement))
        return result.scalar_one() if result.returns_rows else None


@pytest.mark.covers("DWN-01")
@pytest.mark.parametrize("sqlstate", CONNECTION_REFUSALS)
async def test_a_refused_connection_is_unavailable_with_a_time_to_retry(sqlstate):
    async with run_refusing_postgres(sqlstate) as url:
        async with database.open_engine(url, role=None) as engine:
            with pytest.raises(Unavailable) as raised:
                async with database.transaction(engine):
                    pass
        with pytest.raises(Unavailable) as raised_outside_the_pool:
            await database.connect(url, role=None)

    for error in (raised.value, raised_outside_the_pool.value):
        assert error.retry_in is not None
        assert "secret" not in error.message


@pytest.mark.covers("DWN-01")
@pytest.mark.parametrize("sqlstate", STATEMENT_REFUSALS)
async def test_a_statement_that_the_server_ends_for_a_reason_of_its_own_is_unavailable(database_url, sqlstate):
    async with database.open_engine(database_url, role=None) as engine:
        with pytest.raises(Unavailable):
            await run(engine, f"do $$ begin raise exception using errcode = '{sqlstate}'; end $$")


@pytest.mark.covers("DWN-01")
@pytest.mark.parametrize("sqlstate", ["23505", "42601", "42501", "22012", "P0001"])
async def test_a_faulty_statement_is_no_outage(database_url, sqlstate):
    async with database.open_engine(database_url, role=None) as engine:
        with pytest.raises(DBAPIError) as raised:
            await run(engine, f"do $$ begin raise exception using errcode = '{sqlstate}'; end $$")
    assert not is_outage(raised.value)


@pytest.mark.covers("DWN-01")
async def test_a_connection_that_became_read_only_is_not_used_again(database_url):
    async with database.open_engine(database_url, role=None, pool=1) as engine:
        before = await run(engine, PID)
        with pytest.raises(Unavailable):
            await run(engine, "do $$ begin raise exception using errcode = '25006'; end $$")
        assert await run(engine, PID) != before


@pytest.mark.covers("DWN-01")
@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="the server may run on another machine")
async def test_a_transaction_on_a_frozen_connection_ends(database_url):
    async with database.open_engine(database_url, role=None, pool=1) as engine:
        pid = await run(engine, PID)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable):
                await run(engine, PID, within=timedelta(seconds=0.5))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await run(engine, PID) != pid


@pytest.mark.covers("DWN-02")
@pytest.mark.parametrize("sqlstate", [*CONNECTION_REFUSALS, None])
async def test_loops_wait_for_the_database_and_none_ends(sqlstate, monkeypatch):
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_SECONDS", 0.2)
    ticks = 0

    async with run_refusing_postgres(sqlstate) as url, database.open_engine(url, role=None) as engine:

        async def tick() -> None:
            nonlocal ticks
            ticks += 1
            async with database.transaction(engine):
                pass

        listener = database.NotificationListener(url, role=None, channel="test")
        lock = database.AdvisoryLock(url, role=None, name="test")
        loops = [
            Loop(name="ticking", run=tick, every=timedelta()),
            Loop(name="listening", run=listener.listen),
            Loop(name="locked", run=tick, every=timedelta(), lock=lock),
        ]
        async with serve([], loops):
            await eventually(lambda: ticks >= 2)


@pytest.mark.covers("DWN-02")
async def test_a_lock_holder_whose_work_finds_the_database_away_tries_again(database_url):
    attempts = 0

    async def work() -> None:
        nonlocal attempts
        attempts += 1
        raise Unavailable

    lock = database.AdvisoryLock(database_url, role=None, name="test.away")
    holding = asyncio.ensure_future(lock.run(work))
    await eventually(lambda: attempts >= 2 or holding.done(), within=10)
    assert not holding.done()
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)


@pytest.mark.covers("DWN-03")
async def test_an_outage_is_logged_once_for_each_loop_with_its_cause():
    ticks = 0
    with capture_logs() as logs:
        async with run_refusing_postgres("57P03") as url, database.open_engine(url, role=None) as engine:

            async def tick() -> None:
                nonlocal ticks
                ticks += 1
                async with database.transaction(engine):
                    pass

            async with serve([], [Loop(name="logged", run=tick, every=timedelta())]):
                await eventually(lambda: ticks >= 3)

    [entry] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert entry["event"] == "outage begins"
    assert (entry["loop"], entry["cause"]) == ("logged", "57P03 (CannotConnectNowError)")


class _Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.covers("DWN-03")
def test_the_log_of_an_outage_has_one_line_at_its_begin_and_one_at_its_end():
    clock = _Seconds()
    outages = OutageLog("database", monotonic=clock)
    with capture_logs() as logs:
        for _ in range(50):
            outages.note_failure("sweep", "refused")
            clock.now += 1
        outages.note_success("sweep")
        outages.note_success("sweep")

    assert [(entry["event"], entry["loop"]) for entry in logs] == [
        ("outage begins", "sweep"),
        ("outage ends", "sweep"),
    ]
    assert (logs[1]["seconds"], logs[1]["failures"]) == (50, 50)


@pytest.mark.covers("DWN-03")
def test_the_log_of_a_flapping_database_is_limited():
    clock = _Seconds()
    outages = OutageLog("database", monotonic=clock)
    with capture_logs() as logs:
        for _ in range(600):
            outages.note_failure("sweep", "refused")
            clock.now += 0.05
            outages.note_success("sweep")
            clock.now += 0.05

    assert len(logs) <= 2 * 60 / 10


@asynccontextmanager
async def run_auth(database_url, directory):
    """Run auth as a process; yields it with its standard output and error in one stream."""
    environment = {
        "DATABASE_URL": database_url,
        "MOLECULE_ENV": "development",
        "AUTH_LISTEN": f"unix:{directory}/auth.sock",
        "SECRETS_ENCRYPTION_KEY": f"1:{b64encode(bytes(32)).decode()}",
        "PYTHONUNBUFFERED": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.auth",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.covers("DWN-02")
async def test_a_service_that_starts_while_the_database_starts_waits_and_says_so(tmp_path):
    async with run_refusing_postgres("57P03") as url, run_auth(url, tmp_path) as process:
        first = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        while b"serving" not in (later := await asyncio.wait_for(process.stdout.readline(), 30)):
            assert later  # what the loops say about the database

    assert "service waits for the database" in first


@pytest.mark.covers("DWN-02")
async def test_a_service_with_a_wrong_password_ends_with_one_line(tmp_path):
    async with run_refusing_postgres("28P01") as url, run_auth(url, tmp_path) as process:
        output = (await asyncio.wait_for(process.stdout.read(), 30)).decode()
        code = await process.wait()

    assert code == 1
    assert output == "auth: DATABASE_URL: the database refuses the user, the role or the name of the database\n"
