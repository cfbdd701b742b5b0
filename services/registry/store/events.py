"""Reads stored events and tree positions for the event log, and deletes old events."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import strict_json
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.event_horizon import event_horizon
from services.registry.store.tables.schema import revision_sequence
from services.registry.store.tables.workspaces import events, workspaces
from services.registry.workspace.audiences import TreePosition
from services.registry.workspace.events import Event, EventFilter, EventRange, render_payload
from services.registry.workspace.model import WorkspaceId

WITHOUT_CARD = '"agent_card":null}'
"""The end of a payload whose card was taken out; no other payload ends like this."""

MAX_CARDS_PER_DROP = 20
"""Limit of the cards, of up to 1 MiB each, that one statement reads in order to take them out."""


class EventStore:
    """Stored events, and the tree positions that decide their audiences, within one transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    # Reading ─────────────────────────────────────────────────────────────────

    async def get_head(self) -> int:
        """Return the highest event id; the horizon if no event is stored."""
        highest = await self._connection.scalar(sa.select(sa.func.max(events.c.event_id)))
        return highest or await self.get_horizon()

    async def list_after(self, event_id: int, *, limit: int) -> list[tuple[Event, WorkspaceId]]:
        """Return events after an id, oldest first, each with the organisation of its workspace at that time."""
        statement = sa.select(events).where(events.c.event_id > event_id).order_by(events.c.event_id).limit(limit)
        return [(tables.build_event(row), WorkspaceId(row.org_id)) for row in await self._connection.execute(statement)]

    async def list_range(self, event_range: EventRange, event_filter: EventFilter, *, limit: int) -> list[Event]:
        """Return the events of a range that pass the filter, oldest first."""
        conditions = [events.c.event_id > event_range.after, *_build_conditions(event_filter)]
        if event_range.through:
            conditions.append(events.c.event_id <= event_range.through)
        statement = sa.select(events).where(*conditions).order_by(events.c.event_id).limit(limit)
        return [tables.build_event(row) for row in await self._connection.execute(statement)]

    async def find_known_ids(self, ids: Sequence[str]) -> set[str]:
        """Return those of the ids that stored events have."""
        statement = sa.select(events.c.id).where(events.c.id == sa.any_(sa.literal(list(ids), ARRAY(sa.Text))))
        return set((await self._connection.execute(statement)).scalars())

    async def list_positions(self, revision: int, *, limit: int) -> list[tuple[TreePosition, int, bool]]:
        """Return the positions of workspaces changed after a revision, with the revision and whether it was purged."""
        row = workspaces.c
        statement = sa.select(
            row.id, row.parent_id, row.org_id, row.revision, row.purged_at.isnot(None).label("is_purged")
        )
        found = await self._connection.execute(
            statement.where(row.revision > revision).order_by(row.revision).limit(limit)
        )
        return [(TreePosition(one.id, one.parent_id, one.org_id), one.revision, one.is_purged) for one in found]

    # Retention ────────────────────────────────────────────────────────────

    async def get_horizon(self) -> int:
        """Return the highest event id that was deleted because of its age; 0 for none."""
        return await self._connection.scalar(sa.select(event_horizon.c.event_id)) or 0

    async def get_last_number(self) -> int:
        """Return the last number taken from the sequence; no event has a higher one."""
        return await self._connection.scalar(sa.select(_LAST_VALUE)) or 0

    async def delete_old(self, age: timedelta, *, limit: int) -> int:
        """Delete at most `limit` events older than `age`, oldest first, and raise the horizon; return how many."""
        old = sa.select(events.c.event_id).where(events.c.created_at < self._now - age)
        return await self._delete(old.order_by(events.c.created_at).limit(limit))

    async def delete_beyond(self, count: int, *, limit: int) -> int:
        """Delete at most `limit` events besides the `count` newest ones, and raise the horizon; returns how many."""
        newest_first = sa.select(events.c.event_id).order_by(events.c.event_id.desc())
        newest_surplus = newest_first.offset(count).limit(1).scalar_subquery()
        surplus = sa.select(events.c.event_id).where(events.c.event_id <= newest_surplus)
        return await self._delete(surplus.order_by(events.c.event_id).limit(limit))

    async def drop_old_cards(self, workspace_id: WorkspaceId, *, kept: int) -> None:
        """Take the cards out of the events of a workspace, except for the `kept` newest ones.

        The events keep their ids, so a program that follows them misses none; the newest card is the one that counts.
        """
        own = sa.select(events.c.event_id, events.c.payload).where(
            events.c.workspace_id == workspace_id, tables.holds_card, events.c.payload.not_like(f"%{WITHOUT_CARD}")
        )
        old = own.order_by(events.c.event_id.desc()).offset(kept).limit(MAX_CARDS_PER_DROP)
        for row in (await self._connection.execute(old)).all():
            await self._connection.execute(
                sa.update(events).where(events.c.event_id == row.event_id).values(payload=_drop_card(row.payload))
            )

    async def _delete(self, ids: sa.Select[tuple[int]]) -> int:
        deleted = await self._connection.execute(
            sa.delete(events).where(events.c.event_id.in_(ids)).returning(events.c.event_id)
        )
        found: Sequence[int] = deleted.scalars().all()
        if found:
            await self._raise_horizon(max(found))
        return len(found)

    async def _raise_horizon(self, event_id: int) -> None:
        upsert = insert(event_horizon).values(event_id=event_id)
        higher = sa.func.greatest(event_horizon.c.event_id, upsert.excluded.event_id)
        await self._connection.execute(
            upsert.on_conflict_do_update(index_elements=["one"], set_={"event_id": higher}),
        )


_LAST_VALUE = sa.table(
    revision_sequence.name, sa.column("last_value", sa.BigInteger), schema=revision_sequence.schema
).c.last_value


def _drop_card(payload: str) -> str:
    """Return a payload with null instead of the card, which stands at the end; one that is not JSON loses the rest."""
    try:
        members = strict_json.parse(payload.encode())
    except strict_json.InvalidJson:
        members = {}
    members.pop("agent_card", None)
    return render_payload({**members, "agent_card": None})


def _build_conditions(event_filter: EventFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if event_filter.org_id is not None:
        conditions.append(
            sa.or_(events.c.org_id == event_filter.org_id, events.c.workspace_id == event_filter.always_including)
            if event_filter.always_including
            else events.c.org_id == event_filter.org_id
        )
    if event_filter.workspace_ids is not None:
        conditions.append(
            events.c.workspace_id == sa.any_(sa.literal(list(event_filter.workspace_ids), ARRAY(sa.Text)))
        )
    return conditions
