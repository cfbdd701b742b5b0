"""What it costs to look for the silent among many healthy agents: the time of the sweeps, and the pages they touch."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.crowd import agent, settle
from deploy import migrations, roles
from deploy.plane import fresh_database
from services.chassis import database
from services.registry.app import ROLE
from services.registry.store.transaction import Store
from services.registry.workspace.facts import LivenessTimeouts
from services.registry.workspace.model import Workspace, WorkspaceId

PATIENCE = LivenessTimeouts(managed=timedelta(seconds=180), external=timedelta(seconds=90))
"""As the settings of the registry have it."""

EVERY = timedelta(seconds=5)
"""How often the sweeps come by."""

TURNS = 6
"""Sweeps until every agent was heard once: a heartbeat every 30 seconds."""

ROUNDS = 24
"""Sweeps that are measured: two minutes, so that each agent would have fallen silent once."""

LIMIT = 500
"""As the sweeps take at a time."""

PAGES = sa.text("select coalesce(sum(hits + reads), 0) from pg_stat_get_backend_io(pg_backend_pid())")
FLUSH = sa.text("select pg_stat_force_next_flush()")


@dataclass(frozen=True, slots=True)
class Swept:
    """One round of all sweeps, on average: milliseconds, and pages touched."""

    milliseconds: float
    pages: float


class Advancing:
    """A clock that is set."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        """The time it was set to."""
        return self.time


async def swept(server_url: str, count: int) -> Swept:
    """What sweeping costs where `count` agents are healthy, in a database of its own, with nobody else in it."""
    async with fresh_database(server_url) as url, _settled(url, count), _opened(url) as engine:
        clock = Advancing()
        store = Store(engine, clock)
        crowd = await _crowd(store, count)
        spent = pages = 0.0
        for number in range(TURNS + ROUNDS):
            clock.time += EVERY
            await _beat(store, crowd[number % TURNS :: TURNS], clock.time)
            before, began = await _touched(engine), time.perf_counter()
            await _sweep(store)
            if number >= TURNS:
                spent += time.perf_counter() - began
                pages += await _touched(engine) - before
    return Swept(spent / ROUNDS * 1000, pages / ROUNDS)


@asynccontextmanager
async def _settled(url: str, count: int) -> AsyncIterator[None]:
    await roles.apply(url)
    await migrations.run(url)
    connection = await asyncpg.connect(url)
    try:
        await settle(connection, [agent(number) for number in range(count)])
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()
    yield


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[AsyncEngine]:
    """One connection, so that its pages are those of the sweeps."""
    async with database.open_engine(url, role=ROLE, pool=1) as engine:
        yield engine


async def _crowd(store: Store, count: int) -> Sequence[Workspace]:
    async with store.begin() as tx:
        return await tx.lists.list_by_ids([WorkspaceId(agent(number).workspace_id) for number in range(count)])


async def _beat(store: Store, some: Sequence[Workspace], now: datetime) -> None:
    """Some are heard, as the intake writes it."""
    for start in range(0, len(some), LIMIT):
        heard = [one.id for one in some[start : start + LIMIT]]
        async with store.begin() as tx:
            found = await tx.lists.list_by_ids(heard)
            await tx.vitals.write({one.id: replace(one.vitals, last_seen=now) for one in found}, PATIENCE)


async def _sweep(store: Store) -> None:
    """What the loops of the registry ask of the table, each in a transaction of its own."""
    async with store.begin() as tx:
        silent = await tx.overdue.list_silent(PATIENCE, limit=LIMIT)
    if silent:
        raise RuntimeError(f"{len(silent)} healthy agents were called silent")
    async with store.begin() as tx:
        await tx.overdue.list_unstarted(limit=LIMIT)
    async with store.begin() as tx:
        await tx.overdue.list_unplaced(limit=LIMIT)
    async with store.begin() as tx:
        await tx.overdue.list_unfinished_removals(EVERY, limit=LIMIT)


async def _touched(engine: AsyncEngine) -> float:
    """Pages this connection has touched so far."""
    async with engine.begin() as connection:
        await connection.execute(FLUSH)
    async with engine.begin() as connection:
        return float(await connection.scalar(PAGES) or 0)
