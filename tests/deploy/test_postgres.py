"""The embedded PostgreSQL."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

import asyncpg
import psutil
import pytest

from deploy import postgres, stack
from deploy.errors import StartError
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.readiness import wait_until_ready
from tests.deploy.postgres_server import run_postgres

START_TIMEOUT = timedelta(seconds=30)


@pytest.fixture
def layout(home) -> Iterator[Layout]:
    layout = Layout.for_home(home / "with spaces")
    layout.prepare()
    yield layout
    layout.remove_socket_directories()


async def fetch_value(server: postgres.Postgres, query: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def find_server_processes(layout: Layout) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if postgres._is_server_of(process, layout.postgres)]


async def test_server_starts_in_an_empty_home_and_stops_completely(layout):
    async with run_postgres(layout) as (server, _):
        assert await fetch_value(server, "SHOW server_version_num") == "180004"
        assert await fetch_value(server, "SHOW fsync") == "on"
        assert await fetch_value(server, "SELECT lower('Ä')") == "ä"
        assert find_server_processes(layout)

    assert find_server_processes(layout) == []
    assert not (layout.postgres / "postmaster.pid").exists()


@pytest.mark.covers("ENV-10")
async def test_nobody_connects_without_a_password(layout):
    async with run_postgres(layout) as (server, _):
        for login in (postgres.SUPERUSER, "molecule_auth"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(server.build_url(login=login, password="guessed"))
        assert (layout.keys / "postgres").stat().st_mode & 0o777 == 0o600
        assert server.password not in repr(server)


@pytest.mark.covers("ENV-10")
@pytest.mark.parametrize(
    "change", ["trusting rules of an earlier release", "lost key file", "key file of another home"]
)
async def test_home_gets_passwords_that_fit_its_key_file(layout, change):
    async with run_postgres(layout) as (server, _):
        await fetch_value(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    match change:
        case "trusting rules of an earlier release":
            (layout.postgres / "pg_hba.conf").write_text("local all all trust\n")
        case "lost key file":
            (layout.keys / "postgres").unlink()
        case _:
            (layout.keys / "postgres").write_text("another password\n")

    async with run_postgres(layout) as (server, _):
        assert await fetch_value(server, "SELECT answer FROM kept") == 42
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.build_url(login=postgres.SUPERUSER, password="guessed"))


@pytest.mark.covers("ENV-11")
@pytest.mark.skipif(os.getuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_only_postgresqls_user_may_traverse_the_home_of_root(layout):
    async with run_postgres(layout) as (server, _):
        layout.prepare()
        found = layout.home.stat()

        assert (found.st_mode & 0o777, found.st_gid) == (0o710, server.owner.gid)
        assert await fetch_value(server, "SELECT 1") == 1


async def test_committed_data_survives_a_kill_of_every_process(layout):
    async with run_postgres(layout) as (server, child):
        await fetch_value(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        for process in find_server_processes(layout):
            process.suspend()
        victims = find_server_processes(layout)
        child._stopping.set()
        for process in victims:
            process.kill()
    assert (layout.postgres / "postmaster.pid").exists()

    async with run_postgres(layout) as (server, _):
        assert await fetch_value(server, "SELECT answer FROM kept") == 42


async def test_killed_server_is_restarted_and_accepts_connections(layout):
    async with run_postgres(layout) as (server, child):
        os.kill(child.pid, SIGKILL)
        logs = ProcessLogs(layout.logs)
        await wait_until_ready(lambda: postgres.can_connect(server), children=[], logs=logs, timeout=START_TIMEOUT)

        assert await fetch_value(server, "SELECT 1") == 1
        assert child.exits >= 1


def test_an_error_of_the_embedded_server_names_its_log(layout):
    logs = ProcessLogs(layout.logs)

    with pytest.raises(StartError) as refused, stack._naming_log(logs):
        raise StartError("the roles could not be made")

    assert str(refused.value) == f"the roles could not be made (log: {layout.logs / 'postgres.log'})"


async def test_leftover_server_is_stopped_before_the_next_start(layout):
    async with run_postgres(layout) as (server, child):
        first = child.pid
        await fetch_value(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        child._stopping.set()

        again = postgres.prepare(layout)

        assert not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE
        assert again == server


async def test_process_that_reuses_the_pid_of_an_ended_server_is_not_signalled(layout):
    async with run_postgres(layout):
        pass
    (layout.postgres / "postmaster.pid").write_text(f"{os.getpid()}\n{layout.postgres}\n")

    async with run_postgres(layout) as (server, _):
        assert await fetch_value(server, "SELECT 1") == 1


async def test_interrupted_initialisation_is_repeated(layout):
    temporary = layout.home / "postgres.new"
    temporary.mkdir()
    (temporary / "PG_VERSION").write_text("18\n")

    async with run_postgres(layout) as (server, _):
        assert await fetch_value(server, "SELECT 1") == 1


def test_data_directory_of_another_major_version_is_refused(layout):
    layout.postgres.mkdir()
    (layout.postgres / "PG_VERSION").write_text("16\n")

    with pytest.raises(StartError, match="written by PostgreSQL 16, and this is 18"):
        postgres.prepare(layout)


def test_directory_that_is_not_a_data_directory_is_refused(layout):
    layout.postgres.mkdir()
    (layout.postgres / "holiday.jpg").touch()

    with pytest.raises(StartError, match="is not a PostgreSQL data directory"):
        postgres.prepare(layout)


async def test_server_that_cannot_start_fails_with_its_last_line(layout):
    postgres.prepare(layout)
    (layout.postgres / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(StartError, match=r"postgres does not start: .*contains errors \(log: "):
        async with run_postgres(layout):
            pass


def test_socket_directory_is_private(layout):
    server = postgres.prepare(layout)

    assert Path(server.sockets).stat().st_mode & 0o777 == 0o700
