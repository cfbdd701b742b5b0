"""Measures the sweeps that look for silent agents among many healthy ones: their time, and the pages they touch."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.population import build_agent, insert_population
from deploy import migrations, roles
from deploy.plane import fresh_database
from services.chassis import database
from services.registry.app import service
from services.registry.store.transaction import Store
from services.registry.workspace.facts import LivenessTimeouts
from services.registry.workspace.hearing import Hearing
from services.registry.workspace.model import Workspace, WorkspaceId

AGENT_TIMEOUT = LivenessTimeouts(managed=timedelta(seconds=180), external=timedelta(seconds=90))
"""The defaults of the registry's settings."""

ALWAYS_HEARING = Hearing(since=datetime(2000, 1, 1, tzinfo=UTC), until=datetime(9000, 1, 1, tzinfo=UTC))
"""The record of a plane that can always hear."""

SWEEP_INTERVAL = timedelta(seconds=5)
"""The time between two sweeps."""

WARM_UP_ROUNDS = 6
"""Sweeps until every agent has sent a heartbeat, one every 30 seconds."""

MEASURED_ROUNDS = 24
"""Sweeps that are measured: two minutes, longer than the timeout of an agent."""

BATCH_SIZE = 500
"""Rows that one statement of a sweep reads."""

PAGES = sa.text("select coalesce(sum(hits + reads), 0) from pg_stat_get_backend_io(pg_backend_pid())")
FLUSH = sa.text("select pg_stat_force_next_flush()")


@dataclass(frozen=True, slots=True)
class SweepCost:
    """The average cost of one round of all sweeps: milliseconds, and pages touched."""

    milliseconds: float
    pages: float


class ManualClock:
    """A clock that the benchmark sets."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        """The time it was set to."""
        return self.time


async def measure_sweeps(server_url: str, count: int) -> SweepCost:
    """Measure the sweeps with `count` healthy agents, in a new database without other users."""
    async with fresh_database(server_url) as url, _fill_database(url, count), _open_engine(url) as engine:
        clock = ManualClock()
        store = Store(engine, clock)
        workspaces = await _list_population(store, count)
        seconds = pages = 0.0
        for number in range(WARM_UP_ROUNDS + MEASURED_ROUNDS):
            clock.time += SWEEP_INTERVAL
            await _send_heartbeats(store, workspaces[number % WARM_UP_ROUNDS :: WARM_UP_ROUNDS], clock.time)
            before, started_at = await _count_pages(engine), time.perf_counter()
            await _run_sweeps(store)
            if number >= WARM_UP_ROUNDS:
                seconds += time.perf_counter() - started_at
                pages += await _count_pages(engine) - before
    return SweepCost(seconds / MEASURED_ROUNDS * 1000, pages / MEASURED_ROUNDS)


@asynccontextmanager
async def _fill_database(url: str, count: int) -> AsyncIterator[None]:
    await roles.apply_roles(url)
    await migrations.migrate_all(url)
    connection = await asyncpg.connect(url)
    try:
        await insert_population(connection, [build_agent(number) for number in range(count)])
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()
    yield


@asynccontextmanager
async def _open_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """Open one connection, so that the pages it touches are those of the sweeps."""
    async with database.open_engine(url, role=service.build_role(), pool=1) as engine:
        yield engine


async def _list_population(store: Store, count: int) -> Sequence[Workspace]:
    async with store.begin() as tx:
        return await tx.lists.list_by_ids([WorkspaceId(build_agent(number).workspace_id) for number in range(count)])


async def _send_heartbeats(store: Store, workspaces: Sequence[Workspace], now: datetime) -> None:
    """Record heartbeats of the workspaces, with the statements that the registry uses."""
    for start in range(0, len(workspaces), BATCH_SIZE):
        ids = [workspace.id for workspace in workspaces[start : start + BATCH_SIZE]]
        async with store.begin() as tx:
            found = await tx.lists.list_by_ids(ids)
            await tx.vitals.write(
                {workspace.id: replace(workspace.vitals, last_seen=now) for workspace in found}, AGENT_TIMEOUT
            )


async def _run_sweeps(store: Store) -> None:
    """Run the queries of the registry's loops, each in its own transaction."""
    async with store.begin() as tx:
        silent = await tx.overdue.list_silent(AGENT_TIMEOUT, hearing=ALWAYS_HEARING, limit=BATCH_SIZE)
    if silent:
        raise RuntimeError(f"{len(silent)} healthy agents were called silent")
    async with store.begin() as tx:
        await tx.overdue.list_unstarted(hearing=ALWAYS_HEARING, limit=BATCH_SIZE)
    async with store.begin() as tx:
        await tx.overdue.list_unplaced(limit=BATCH_SIZE)
    async with store.begin() as tx:
        await tx.overdue.list_unfinished_removals(SWEEP_INTERVAL, limit=BATCH_SIZE)


async def _count_pages(engine: AsyncEngine) -> float:
    """Count the pages that this connection has touched so far."""
    async with engine.begin() as connection:
        await connection.execute(FLUSH)
    async with engine.begin() as connection:
        return float(await connection.scalar(PAGES) or 0)
