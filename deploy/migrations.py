"""Migrates the schemas of all services, one after the other, because alembic keeps its context in module globals."""

import asyncio
import re
from pathlib import Path

import asyncpg

from deploy.errors import StartError
from services.chassis.settings import ROLE_PREFIX

SERVICES = Path(__file__).parents[1] / "services"

REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)


async def migrate_all(database_url: str, *, prefix: str = ROLE_PREFIX) -> None:
    """Migrate every service whose schema is not at its newest revision. The roles must exist.

    Raises `StartError` if the tables were created by a newer release.
    """
    for folder in await _find_outdated(database_url):
        await asyncio.to_thread(_migrate, database_url, folder, prefix)


def find_migration_folders() -> tuple[Path, ...]:
    """Return the folder with the migrations of each service. They are found on disk, because importing is slow."""
    return tuple(folder for folder in sorted(SERVICES.glob("*/migrations")) if folder.parent.name != "chassis")


def find_newest_revision(folder: Path) -> str | None:
    """Return the revision of the last migration in the folder."""
    *_, last = sorted(folder.glob("[0-9]*.py"))
    found = REVISION.search(last.read_text())
    return found[1] if found else None


async def _find_outdated(database_url: str) -> list[Path]:
    """Return the folders with pending migrations. On a later start there are none, and alembic is not imported."""
    connection = await asyncpg.connect(database_url)
    try:
        return [
            folder
            for folder in find_migration_folders()
            if await _read_revision(connection, folder.parent.name) != find_newest_revision(folder)
        ]
    finally:
        await connection.close()


async def _read_revision(connection: asyncpg.Connection, schema: str) -> str | None:
    query = f'SELECT version_num FROM "{schema}".alembic_version'  # noqa: S608 - the schema is a folder's name
    try:
        revision = await connection.fetchval(query)
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        return None
    return str(revision) if revision else None


def _migrate(database_url: str, folder: Path, prefix: str) -> None:
    from services.chassis import database  # importing it takes as long as the rest of a start

    service = folder.parent.name
    try:
        database.migrate(database_url, role=f"{prefix}_{service}", schema=service, folder=folder)
    except database.NewerSchema as error:
        raise StartError(str(error)) from error
