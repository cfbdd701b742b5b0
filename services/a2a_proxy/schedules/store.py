"""Reads and writes schedules, their runs and applied declarations within one transaction."""

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.schedules.rules import DueSchedule, Run, RunStatus, Schedule, ScheduleSource
from services.a2a_proxy.schedules.tables import DECLARATIONS, SCHEDULE_RUNS, SCHEDULES

WORKSPACE_LOCK = "a2a_proxy.schedules."
"""Beginning of the name of the advisory lock under which schedules of a workspace are added."""


@dataclass(frozen=True, slots=True)
class AppliedDeclaration:
    """The declaration that was last applied to a workspace."""

    revision: int
    digest: str


class ScheduleStore:
    """The tables of schedules, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # Schedules ───────────────────────────────────────────────────────────────

    async def lock_workspace(self, workspace_id: WorkspaceId) -> None:
        """Let no other transaction add schedules to the workspace until this one ends."""
        name = sa.func.hashtextextended(WORKSPACE_LOCK + workspace_id, 0)
        await self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(name)))

    async def list_of_workspace(self, workspace_id: WorkspaceId) -> list[Schedule]:
        """Return the schedules of a workspace, the oldest first."""
        own = sa.select(SCHEDULES).where(SCHEDULES.c.workspace_id == workspace_id)
        return await self._load(own.order_by(SCHEDULES.c.created_at, SCHEDULES.c.name))

    async def list_without_prompts(self, workspace_id: WorkspaceId | None = None) -> list[Schedule]:
        """Return the schedules of a workspace, or of all, with empty prompts; the oldest first."""
        columns = [sa.literal("").label("prompt") if c.name == "prompt" else c for c in SCHEDULES.c]
        statement = sa.select(*columns)
        if workspace_id is not None:
            statement = statement.where(SCHEDULES.c.workspace_id == workspace_id)
        return await self._load(statement.order_by(SCHEDULES.c.created_at, SCHEDULES.c.name))

    async def find(self, schedule_id: str, *, lock: bool = False) -> Schedule | None:
        """Return a schedule."""
        statement = sa.select(SCHEDULES).where(SCHEDULES.c.id == schedule_id)
        found = await self._load(statement.with_for_update() if lock else statement)
        return found[0] if found else None

    async def insert(self, schedule: Schedule) -> None:
        """Insert a schedule."""
        await self._connection.execute(sa.insert(SCHEDULES).values(**asdict(schedule)))

    async def update(self, schedule: Schedule) -> None:
        """Replace a schedule."""
        statement = sa.update(SCHEDULES).where(SCHEDULES.c.id == schedule.id)
        await self._connection.execute(statement.values(**asdict(schedule)))

    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule and its runs."""
        await self._connection.execute(sa.delete(SCHEDULES).where(SCHEDULES.c.id == schedule_id))

    # Times ───────────────────────────────────────────────────────────────────

    async def list_due(self, now: datetime, *, after: DueSchedule | None, limit: int) -> list[DueSchedule]:
        """Return schedules that are due, the longest first, after a position in this order."""
        row = SCHEDULES.c
        statement = sa.select(row.id, row.workspace_id, row.cron_expr, row.timezone, row.next_run_at.label("due_at"))
        statement = statement.where(row.next_run_at <= now).order_by(row.next_run_at, row.id).limit(limit)
        if after is not None:
            position = sa.tuple_(sa.literal(after.due_at, row.next_run_at.type), sa.literal(after.id, row.id.type))
            statement = statement.where(sa.tuple_(row.next_run_at, row.id) > position)
        return [DueSchedule(**found) for found in (await self._connection.execute(statement)).mappings()]

    async def claim(self, due: DueSchedule) -> Schedule | None:
        """Lock and return a schedule that is still due at the same time; `None` if it is not any more."""
        schedule = await self.find(due.id, lock=True)
        return schedule if schedule is not None and schedule.next_run_at == due.due_at else None

    # Runs ────────────────────────────────────────────────────────────────────

    async def insert_run(self, run: Run, *, kept: int) -> None:
        """Insert a run, and delete the runs of its schedule besides the `kept` newest ones."""
        await self._connection.execute(sa.insert(SCHEDULE_RUNS).values(**asdict(run)))
        own = sa.select(SCHEDULE_RUNS.c.id).where(SCHEDULE_RUNS.c.schedule_id == run.schedule_id)
        newest_first = own.order_by(SCHEDULE_RUNS.c.started_at.desc(), SCHEDULE_RUNS.c.scheduled_at.desc())
        old = newest_first.offset(kept).scalar_subquery()
        await self._connection.execute(sa.delete(SCHEDULE_RUNS).where(SCHEDULE_RUNS.c.id.in_(old)))

    async def finish_run(self, run: Run) -> bool:
        """Store the end of a run that lasts; returns whether it lasted."""
        statement = sa.update(SCHEDULE_RUNS).where(SCHEDULE_RUNS.c.id == run.id, SCHEDULE_RUNS.c.status.is_(None))
        values = {"status": run.status, "duration_ms": run.duration_ms, "error_detail": run.error_detail}
        return (await self._connection.execute(statement.values(**values))).rowcount == 1

    async def list_runs(self, schedule_id: str, *, limit: int) -> list[Run]:
        """Return the newest runs of a schedule, the newest first."""
        own = sa.select(SCHEDULE_RUNS).where(SCHEDULE_RUNS.c.schedule_id == schedule_id)
        newest_first = own.order_by(SCHEDULE_RUNS.c.started_at.desc(), SCHEDULE_RUNS.c.scheduled_at.desc())
        return [_build_run(row) for row in await self._connection.execute(newest_first.limit(limit))]

    async def list_lasting_runs(self, before: datetime, *, limit: int) -> list[Run]:
        """Return runs that began before a moment and have not ended, the oldest first."""
        row = SCHEDULE_RUNS.c
        lasting = sa.select(SCHEDULE_RUNS).where(row.status.is_(None), row.started_at < before)
        return [
            _build_run(found) for found in await self._connection.execute(lasting.order_by(row.started_at).limit(limit))
        ]

    # Workspaces ──────────────────────────────────────────────────────────────

    async def list_workspaces(self) -> list[WorkspaceId]:
        """Return the workspaces that have schedules, or a declaration of some."""
        found = sa.union(sa.select(SCHEDULES.c.workspace_id), sa.select(DECLARATIONS.c.workspace_id))
        return [WorkspaceId(workspace_id) for workspace_id in await self._connection.scalars(found)]

    async def disable_of_workspace(self, workspace_id: WorkspaceId) -> int:
        """Disable the schedules of a workspace; returns how many were enabled."""
        own = sa.update(SCHEDULES).where(SCHEDULES.c.workspace_id == workspace_id, SCHEDULES.c.enabled)
        return (await self._connection.execute(own.values(enabled=False, next_run_at=None))).rowcount

    async def delete_of_workspace(self, workspace_id: WorkspaceId) -> int:
        """Delete the schedules of a workspace, their runs and its declaration; returns how many schedules."""
        await self._connection.execute(sa.delete(DECLARATIONS).where(DECLARATIONS.c.workspace_id == workspace_id))
        own = sa.delete(SCHEDULES).where(SCHEDULES.c.workspace_id == workspace_id)
        return (await self._connection.execute(own)).rowcount

    # Declarations ────────────────────────────────────────────────────────────

    async def list_digests(self) -> dict[WorkspaceId, str]:
        """Return the digest of the declaration of each workspace that has one."""
        found = await self._connection.execute(sa.select(DECLARATIONS.c.workspace_id, DECLARATIONS.c.digest))
        return {WorkspaceId(row.workspace_id): row.digest for row in found}

    async def find_declaration(self, workspace_id: WorkspaceId) -> AppliedDeclaration | None:
        """Return the declaration that was last applied to a workspace."""
        statement = sa.select(DECLARATIONS).where(DECLARATIONS.c.workspace_id == workspace_id)
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else AppliedDeclaration(row.revision, row.digest)

    async def put_declaration(self, workspace_id: WorkspaceId, applied: AppliedDeclaration) -> None:
        """Store the declaration that is applied to a workspace."""
        values = asdict(applied)
        upsert = insert(DECLARATIONS).values(workspace_id=workspace_id, **values)
        await self._connection.execute(upsert.on_conflict_do_update(index_elements=["workspace_id"], set_=values))

    async def _load(self, statement: sa.Select[Any]) -> list[Schedule]:
        return [_build_schedule(row) for row in await self._connection.execute(statement)]


def _build_schedule(row: sa.Row[Any]) -> Schedule:
    values = {field.name: getattr(row, field.name) for field in fields(Schedule)}
    status = None if row.last_status is None else RunStatus(row.last_status)
    return Schedule(**values | {"source": ScheduleSource(row.source), "last_status": status})


def _build_run(row: sa.Row[Any]) -> Run:
    values = {field.name: getattr(row, field.name) for field in fields(Run)}
    return Run(**values | {"status": None if row.status is None else RunStatus(row.status)})
