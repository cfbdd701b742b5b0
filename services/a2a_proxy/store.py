"""Transactions on the log."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.a2a_proxy.errors import ActivityCursorGone
from services.a2a_proxy.model import Activity, ActivityQuery, Source
from services.a2a_proxy.tables import ACTIVITIES
from services.chassis import database

COLUMNS = tuple(field.name for field in fields(Activity))
"""What the log keeps of an activity; the row's place, `seq`, is the database's own affair."""

Ordered = Callable[[Any], Any]
"""`sa.asc` or `sa.desc`."""

BODIES = ("request_body", "response_body", "tool_trace")
"""The columns of a row that can be large."""

PAGE_BYTES = 12 * 1024 * 1024
"""Bytes of bodies in one answer: what fits a message between services, with room for the rest."""


class Transaction:
    """One transaction on the log."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, activities: Sequence[Activity]) -> None:
        """Write rows, in this order. One that is there already stays as it is.

        Writers take turns until they commit, so `seq` grows in the order of commits and no reader with a cursor can
        pass over a row that becomes visible later.
        """
        await self._connection.execute(_MY_TURN)
        await self._connection.execute(
            _APPEND, {name: [getattr(activity, name) for activity in activities] for name in COLUMNS}
        )

    async def rows(self, query: ActivityQuery) -> list[Activity]:
        """The rows asked for: the newest first, or after a cursor the oldest first; raises `ActivityCursorGone`.

        Fewer than asked for where their bodies would not fit one answer, but one at least.
        """
        conditions, ordered = _conditions(query), sa.desc
        if query.after is not None:
            conditions.append(ACTIVITIES.c.seq > await self._place(query.workspace_id, query.after))
            ordered = sa.asc
        rows = await self._connection.execute(_page(conditions, ordered, query.limit))
        return [Activity(**row) for row in rows.mappings()]

    async def erase_before(self, moment: datetime, *, at_most: int) -> int:
        """Erase the oldest rows from before `moment`; returns how many."""
        old = sa.select(ACTIVITIES.c.id).where(ACTIVITIES.c.created_at < moment).limit(at_most)
        erased = await self._connection.execute(sa.delete(ACTIVITIES).where(ACTIVITIES.c.id.in_(old)))
        return erased.rowcount

    async def _place(self, workspace_id: str, activity_id: str) -> int:
        place = await self._connection.scalar(
            sa.select(ACTIVITIES.c.seq).where(
                ACTIVITIES.c.workspace_id == workspace_id,
                sa.cast(ACTIVITIES.c.id, sa.Text) == activity_id.lower(),
            )
        )
        if place is None:
            raise ActivityCursorGone
        return int(place)


class Store:
    """Opens transactions on the log."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """One transaction: committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            yield Transaction(connection)


def _conditions(query: ActivityQuery) -> list[sa.ColumnElement[bool]]:
    conditions = [ACTIVITIES.c.workspace_id == query.workspace_id]
    if query.activity_type is not None:
        conditions.append(ACTIVITIES.c.activity_type == query.activity_type)
    if query.source is Source.CANVAS:
        conditions.append(ACTIVITIES.c.source_id.is_(None))
    if query.source is Source.AGENT:
        conditions.append(ACTIVITIES.c.source_id.is_not(None))
    if query.since is not None:
        conditions.append(ACTIVITIES.c.created_at >= query.since)
    return conditions


def _page(conditions: Sequence[sa.ColumnElement[bool]], ordered: Ordered, limit: int) -> sa.Select[Any]:
    """At most `limit` rows, and as many as fit. A reply too large to stand beside its request is left out."""
    seq, size = ACTIVITIES.c.seq, sum((_bytes(name) for name in BODIES), sa.literal(0))
    found = sa.select(seq, size.label("size")).where(*conditions).order_by(ordered(seq)).limit(limit).subquery()
    total = sa.func.sum(found.c.size).over(order_by=ordered(found.c.seq), rows=(None, 0))
    sized = sa.select(found, total.label("total")).subquery()
    fits = sa.or_(sized.c.total <= PAGE_BYTES, sized.c.total == sized.c.size)
    reply = sa.case((sized.c.size <= PAGE_BYTES, ACTIVITIES.c.response_body)).label("response_body")
    shown = [reply if name == "response_body" else ACTIVITIES.c[name] for name in COLUMNS]
    return sa.select(*shown).join(sized, seq == sized.c.seq).where(fits, *conditions).order_by(ordered(seq))


def _bytes(name: str) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.octet_length(ACTIVITIES.c[name]), 0)


def _append() -> sa.Executable:
    """One statement for any number of rows: each column travels as one array."""
    arrays = [sa.bindparam(name, type_=ARRAY(ACTIVITIES.c[name].type)) for name in COLUMNS]
    rows: Any = sa.func.unnest(*arrays).table_valued(*COLUMNS, name="rows").render_derived()
    return (
        insert(ACTIVITIES)
        .from_select(COLUMNS, sa.select(*(rows.c[name] for name in COLUMNS)))
        .on_conflict_do_nothing(index_elements=[ACTIVITIES.c.id])
    )


_MY_TURN = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("a2a_proxy.activities", 0)))

_APPEND = _append()
