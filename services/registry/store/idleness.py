"""Reads and writes what proxies report of the work of workspaces, and finds workspaces that may be idle."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import reported_work, vitals, work_reporters, workspaces
from services.registry.workspace.idleness import REPORTER_LIFETIME, WorkReporter
from services.registry.workspace.model import Workspace, WorkspaceId


class IdlenessStore:
    """The work of workspaces, within one transaction."""

    def __init__(self, identity_map: IdentityMap, now: datetime) -> None:
        self._identity_map = identity_map
        self._now = now

    async def note_work(self, worked_at: Mapping[WorkspaceId, datetime]) -> None:
        """Store the last work of workspaces; what is later already stays."""
        if worked_at:
            ids = sorted(worked_at)
            values = {"ids": ids, "times": [worked_at[workspace_id] for workspace_id in ids]}
            await self._identity_map.connection.execute(_NOTE_WORK, values)

    async def note_sent(self, sent_at: Mapping[WorkspaceId, datetime]) -> None:
        """Store when workspaces last sent a message, which is work; what is later already stays."""
        if sent_at:
            ids = sorted(sent_at)
            values = {"ids": ids, "times": [sent_at[workspace_id] for workspace_id in ids]}
            await self._identity_map.connection.execute(_NOTE_SENT, values)

    async def get_sent(self, ids: Sequence[WorkspaceId]) -> dict[WorkspaceId, datetime]:
        """Return when those of the workspaces that have sent a message did so last."""
        columns = reported_work.c
        found = await self._identity_map.connection.execute(
            sa.select(columns.workspace_id, columns.sent_at).where(
                columns.workspace_id.in_(list(ids)), columns.sent_at.isnot(None)
            )
        )
        return {row.workspace_id: row.sent_at for row in found}

    async def get_work(self, ids: Sequence[WorkspaceId]) -> dict[WorkspaceId, datetime]:
        """Return the last work of those workspaces of which a proxy has reported any."""
        found = await self._identity_map.connection.execute(
            sa.select(reported_work).where(reported_work.c.workspace_id.in_(list(ids)))
        )
        return {row.workspace_id: row.worked_at for row in found}

    async def put_reporter(self, reporter: WorkReporter) -> None:
        """Store the last report of a proxy."""
        values = {"seen_revision": reporter.seen_revision, "reported_at": reporter.reported_at}
        put = insert(work_reporters).values(replica_id=reporter.replica_id, **values)
        await self._identity_map.connection.execute(
            put.on_conflict_do_update(index_elements=["replica_id"], set_=values)
        )

    async def delete_reporter(self, replica_id: str) -> None:
        """Forget a proxy that stops."""
        await self._identity_map.connection.execute(
            sa.delete(work_reporters).where(work_reporters.c.replica_id == replica_id)
        )

    async def delete_ended_reporters(self) -> None:
        """Forget the proxies that ended without a word."""
        ended = work_reporters.c.reported_at <= self._now - REPORTER_LIFETIME
        await self._identity_map.connection.execute(sa.delete(work_reporters).where(ended))

    async def list_reporters(self) -> list[WorkReporter]:
        """Return the last report of each proxy."""
        found = await self._identity_map.connection.execute(sa.select(work_reporters))
        return [
            WorkReporter(replica_id=row.replica_id, seen_revision=row.seen_revision, reported_at=row.reported_at)
            for row in found
        ]

    async def list_due(self, *, limit: int) -> list[Workspace]:
        """Return workspaces at which the sweep is to look now, but those that are checked already."""
        statement = tables.select_workspaces.where(
            vitals.c.idle_look_at <= self._now, workspaces.c.idle_check_at.is_(None)
        )
        return await self._identity_map.load(statement.order_by(vitals.c.idle_look_at).limit(limit))

    async def look_later(self, times: Mapping[WorkspaceId, datetime | None]) -> None:
        """Store when the sweep is to look at workspaces next; `None` for never."""
        if times:
            ids = sorted(times)
            values = {"ids": ids, "times": [times[workspace_id] for workspace_id in ids]}
            await self._identity_map.connection.execute(_LOOK_LATER, values)

    async def list_checked(self, *, limit: int) -> list[WorkspaceId]:
        """Return the workspaces of which the proxies are asked whether they have work."""
        found = await self._identity_map.connection.execute(
            sa.select(workspaces.c.id)
            .where(workspaces.c.idle_check_at.isnot(None))
            .order_by(workspaces.c.idle_check_at)
            .limit(limit)
        )
        return list(found.scalars())


_TIMES = (
    sa.func.unnest(
        sa.bindparam("ids", type_=ARRAY(sa.Text)), sa.bindparam("times", type_=ARRAY(sa.TIMESTAMP(timezone=True)))
    )
    .table_valued("id", "at", name="times")
    .render_derived()
)

_PUT_WORK = insert(reported_work).from_select(
    ["workspace_id", "worked_at"], sa.select(_TIMES.c.id, _TIMES.c.at).order_by(_TIMES.c.id)
)

_NOTE_WORK = _PUT_WORK.on_conflict_do_update(
    index_elements=["workspace_id"],
    set_={"worked_at": _PUT_WORK.excluded.worked_at},
    where=reported_work.c.worked_at < _PUT_WORK.excluded.worked_at,
)
"""Rows are ordered by id, so that concurrent reports lock them in one order."""

_PUT_SENT = insert(reported_work).from_select(
    ["workspace_id", "worked_at", "sent_at"], sa.select(_TIMES.c.id, _TIMES.c.at, _TIMES.c.at).order_by(_TIMES.c.id)
)

_NOTE_SENT = _PUT_SENT.on_conflict_do_update(
    index_elements=["workspace_id"],
    set_={
        "worked_at": sa.func.greatest(reported_work.c.worked_at, _PUT_SENT.excluded.worked_at),
        "sent_at": sa.func.greatest(reported_work.c.sent_at, _PUT_SENT.excluded.sent_at),
    },
)

_LOOK_LATER = sa.update(vitals).where(vitals.c.workspace_id == _TIMES.c.id).values(idle_look_at=_TIMES.c.at)
