"""The schemas of all services, brought up to date one after the other: alembic keeps its context in module globals."""

import asyncio
from pathlib import Path

from services.chassis import database

SERVICES = Path(__file__).parents[1] / "services"


async def run(database_url: str) -> None:
    """Migrate every service that keeps something. The roles must be there."""
    for folder in folders():
        service = folder.parent.name
        await asyncio.to_thread(
            database.migrate, database_url, role=f"molecule_{service}", schema=service, folder=folder
        )


def folders() -> tuple[Path, ...]:
    """Where the numbered files are, by the rule of the house: read from disk, because importing services takes long."""
    return tuple(folder for folder in sorted(SERVICES.glob("*/migrations")) if folder.parent.name != "chassis")
