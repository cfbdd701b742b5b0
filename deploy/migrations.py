"""The schemas of all services, brought up to date one after the other: alembic keeps its context in module globals."""

import asyncio
import re
from pathlib import Path

import asyncpg

from deploy.errors import StartError

SERVICES = Path(__file__).parents[1] / "services"

REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)


async def migrate_all(database_url: str) -> None:
    """Migrate every service that keeps something and is behind. The roles must be there.

    Raises `StartError` where the tables are those of a newer release.
    """
    for folder in await _find_outdated(database_url):
        await asyncio.to_thread(_migrate, database_url, folder)


def find_migration_folders() -> tuple[Path, ...]:
    """Where the numbered files are, by the rule of the house: read from disk, because importing services takes long."""
    return tuple(folder for folder in sorted(SERVICES.glob("*/migrations")) if folder.parent.name != "chassis")


def find_newest_revision(folder: Path) -> str | None:
    """The revision that the last of the numbered files leads to."""
    *_, last = sorted(folder.glob("[0-9]*.py"))
    found = REVISION.search(last.read_text())
    return found[1] if found else None


async def _find_outdated(database_url: str) -> list[Path]:
    """A second start finds nothing here, and is spared loading all that migrating takes."""
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
    try:
        found = await connection.fetchval(f'SELECT version_num FROM "{schema}".alembic_version')  # noqa: S608 - ours
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        return None
    return str(found) if found else None


def _migrate(database_url: str, folder: Path) -> None:
    from services.chassis import database  # takes as long to load as everything else of a start

    service = folder.parent.name
    try:
        database.migrate(database_url, role=f"molecule_{service}", schema=service, folder=folder)
    except database.NewerSchema as refusal:
        raise StartError(str(refusal)) from refusal
