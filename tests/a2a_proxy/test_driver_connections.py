"""Statements on connections of the driver, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.a2a_proxy.driver_connections import DriverConnections
from services.chassis.database import DatabaseUnavailable
from tests.waiting import eventually

PID = "select pg_backend_pid()"


@pytest.fixture
async def connections(database_url) -> AsyncIterator[DriverConnections]:
    settings = {"synchronous_commit": "off"}
    async with DriverConnections(database_url, role=None, limit=2, settings=settings) as connections:
        yield connections


async def fetch_value(connections: DriverConnections, statement: str, *values: object) -> object:
    ((value,),) = await connections.fetch(statement, values)
    return value


async def test_statements_use_one_open_connection_with_its_settings(connections):
    pids = {await fetch_value(connections, PID) for _ in range(5)}

    assert len(pids) == 1
    assert await fetch_value(connections, "show synchronous_commit") == "off"
    assert await fetch_value(connections, "show statement_timeout") == "10s"


async def test_no_more_statements_than_the_limit_are_under_way(connections):
    pids = await asyncio.gather(*(fetch_value(connections, PID) for _ in range(20)))

    assert len(set(pids)) == 2


async def test_a_connection_that_the_server_closed_is_replaced(connections, database_url):
    pid = await fetch_value(connections, PID)
    async with DriverConnections(database_url, role=None, limit=1) as others:
        assert await fetch_value(others, "select pg_terminate_backend($1)", pid)
    assert await eventually(connections._idle[0].is_closed)

    assert await fetch_value(connections, PID) != pid


async def test_a_statement_whose_connection_breaks_says_that_the_database_is_unavailable(connections):
    with pytest.raises(DatabaseUnavailable):
        await connections.fetch("select pg_terminate_backend(pg_backend_pid())", ())

    assert await fetch_value(connections, "select 1") == 1


async def test_a_database_that_is_away_is_unavailable():
    with pytest.raises(DatabaseUnavailable):
        await DriverConnections("postgresql://nobody@127.0.0.1:1/none", role=None, limit=1).fetch("select 1", ())


@pytest.mark.parametrize(
    ("statement", "values", "error"),
    [
        ("select 1/$1::int", (0,), asyncpg.DivisionByZeroError),
        ("selekt 1", (), asyncpg.PostgresSyntaxError),
        ("select $1::int", ("x",), asyncpg.DataError),
    ],
)
async def test_a_faulty_statement_is_no_outage(connections, statement, values, error):
    with pytest.raises(error):
        await connections.fetch(statement, values)

    assert await fetch_value(connections, "select 1") == 1


async def test_a_cancelled_statement_occupies_no_connection(connections):
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connections.fetch("select pg_sleep(60)", ())

    assert await fetch_value(connections, "select 1") == 1
