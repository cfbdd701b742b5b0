"""Stored events: from one on, between two, about whom; and how far back they are kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.events import event_horizon
from services.registry.store.tables.schema import revision_sequence
from services.registry.store.tables.workspaces import events, workspaces
from services.registry.workspace.audiences import TreePosition
from services.registry.workspace.events import Event, EventFilter, EventRange
from services.registry.workspace.model import WorkspaceId


class EventStore:
    """The events, and what must be known of workspaces to tell of them."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    # Reading ─────────────────────────────────────────────────────────────────

    async def get_head(self) -> int:
        """The highest event; the horizon where none is kept."""
        highest = await self._connection.scalar(sa.select(sa.func.max(events.c.event_id)))
        return highest or await self.get_horizon()

    async def list_after(self, event_id: int, *, limit: int) -> list[tuple[Event, WorkspaceId]]:
        """The events after one, oldest first, each with the organisation that it arose in."""
        statement = sa.select(events).where(events.c.event_id > event_id).order_by(events.c.event_id).limit(limit)
        return [(tables.build_event(row), WorkspaceId(row.org_id)) for row in await self._connection.execute(statement)]

    async def list_range(self, stretch: EventRange, scope: EventFilter, *, limit: int) -> list[Event]:
        """The events of a stretch, oldest first, as far as they are in scope."""
        conditions = [events.c.event_id > stretch.after, *_build_conditions(scope)]
        if stretch.through:
            conditions.append(events.c.event_id <= stretch.through)
        statement = sa.select(events).where(*conditions).order_by(events.c.event_id).limit(limit)
        return [tables.build_event(row) for row in await self._connection.execute(statement)]

    async def list_positions(self, revision: int, *, limit: int) -> list[tuple[TreePosition, int, bool]]:
        """Where workspaces stand that changed after a revision, their revisions, and whether they were purged."""
        row = workspaces.c
        statement = sa.select(row.id, row.parent_id, row.org_id, row.revision, row.purged_at.isnot(None).label("gone"))
        found = await self._connection.execute(
            statement.where(row.revision > revision).order_by(row.revision).limit(limit)
        )
        return [(TreePosition(one.id, one.parent_id, one.org_id), one.revision, one.gone) for one in found]

    # How far back ────────────────────────────────────────────────────────────

    async def get_horizon(self) -> int:
        """The highest event that was forgotten because of its age; 0 where none was."""
        return await self._connection.scalar(sa.select(event_horizon.c.event_id)) or 0

    async def get_last_number(self) -> int:
        """A number that no event has passed yet."""
        return await self._connection.scalar(sa.select(_LAST_VALUE)) or 0

    async def delete_old(self, age: timedelta, *, limit: int) -> int:
        """Delete old events, the oldest first, at most so many; the number deleted. The horizon moves with them."""
        old = sa.select(events.c.event_id).where(events.c.created_at < self._now - age)
        oldest = old.order_by(events.c.created_at).limit(limit)
        gone = await self._connection.execute(
            sa.delete(events).where(events.c.event_id.in_(oldest)).returning(events.c.event_id)
        )
        ids: Sequence[int] = gone.scalars().all()
        if ids:
            await self._raise_horizon(max(ids))
        return len(ids)

    async def _raise_horizon(self, event_id: int) -> None:
        put = insert(event_horizon).values(event_id=event_id)
        higher = sa.func.greatest(event_horizon.c.event_id, put.excluded.event_id)
        await self._connection.execute(
            put.on_conflict_do_update(index_elements=["one"], set_={"event_id": higher}),
        )


_LAST_VALUE = sa.table(
    revision_sequence.name, sa.column("last_value", sa.BigInteger), schema=revision_sequence.schema
).c.last_value


def _build_conditions(scope: EventFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if scope.org_id is not None:
        conditions.append(events.c.org_id == scope.org_id)
    if scope.workspace_ids is not None:
        conditions.append(events.c.workspace_id == sa.any_(sa.literal(list(scope.workspace_ids), ARRAY(sa.Text))))
    return conditions
