import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

import asyncpg
import psutil
import pytest

from deploy import postgres
from deploy.errors import StartError
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.readiness import wait_until_ready
from tests.deploy.postgres_server import run_postgres

SOON = timedelta(seconds=30)


@pytest.fixture
def layout(home) -> Iterator[Layout]:
    layout = Layout.of(home / "with spaces")
    layout.prepare()
    yield layout
    layout.remove_socket_directories()


async def asked(server: postgres.Postgres, question: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def servers_of(layout: Layout) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if postgres._is_server_of(process, layout.postgres)]


async def test_it_starts_from_nothing_and_leaves_no_process_behind(layout):
    async with run_postgres(layout) as (server, _):
        assert await asked(server, "SHOW server_version_num") == "180004"
        assert await asked(server, "SHOW fsync") == "on"
        assert await asked(server, "SELECT lower('Ä')") == "ä"
        assert servers_of(layout)

    assert servers_of(layout) == []
    assert not (layout.postgres / "postmaster.pid").exists()


async def test_what_was_committed_survives_the_death_of_every_process(layout):
    async with run_postgres(layout) as (server, child):
        await asked(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        for process in servers_of(layout):
            process.suspend()
        victims = servers_of(layout)
        child._stopping.set()
        for process in victims:
            process.kill()
    assert (layout.postgres / "postmaster.pid").exists()

    async with run_postgres(layout) as (server, _):
        assert await asked(server, "SELECT answer FROM kept") == 42


async def test_a_killed_server_is_restarted_and_answers_again(layout):
    async with run_postgres(layout) as (server, child):
        os.kill(child.pid, SIGKILL)
        journal = ProcessLogs(layout.logs)
        await wait_until_ready(lambda: postgres.can_connect(server), children=[], journal=journal, within=SOON)

        assert await asked(server, "SELECT 1") == 1
        assert child.exits >= 1


async def test_a_server_left_behind_is_ended_before_the_next_starts(layout):
    async with run_postgres(layout) as (server, child):
        first = child.pid
        await asked(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        child._stopping.set()

        again = postgres.prepare(layout)

        assert not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE
        assert again == server


async def test_a_stranger_who_got_the_pid_of_a_dead_server_is_left_alone(layout):
    async with run_postgres(layout):
        pass
    (layout.postgres / "postmaster.pid").write_text(f"{os.getpid()}\n{layout.postgres}\n")

    async with run_postgres(layout) as (server, _):
        assert await asked(server, "SELECT 1") == 1


async def test_a_set_up_that_was_interrupted_is_begun_anew(layout):
    half = layout.home / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    async with run_postgres(layout) as (server, _):
        assert await asked(server, "SELECT 1") == 1


def test_a_directory_of_another_major_version_is_refused(layout):
    layout.postgres.mkdir()
    (layout.postgres / "PG_VERSION").write_text("16\n")

    with pytest.raises(StartError, match="written by PostgreSQL 16, and this is 18"):
        postgres.prepare(layout)


def test_a_directory_that_is_none_of_postgresql_is_refused(layout):
    layout.postgres.mkdir()
    (layout.postgres / "holiday.jpg").touch()

    with pytest.raises(StartError, match="is not a PostgreSQL data directory"):
        postgres.prepare(layout)


async def test_a_server_that_cannot_start_is_given_up_with_what_it_said(layout):
    postgres.prepare(layout)
    (layout.postgres / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(StartError, match=r"postgres does not start: .*contains errors \(log: "):
        async with run_postgres(layout):
            pass


def test_the_sockets_are_nobody_elses(layout):
    server = postgres.prepare(layout)

    assert Path(server.sockets).stat().st_mode & 0o777 == 0o700
