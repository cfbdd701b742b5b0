"""Transactions on the activity table."""

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
"""The columns that hold an `Activity`; the database assigns the remaining one, `seq`."""

SortOrder = Callable[[Any], Any]
"""`sa.asc` or `sa.desc`."""

BODY_COLUMNS = ("request_body", "response_body", "tool_trace")
"""The columns that can be large."""

MAX_PAGE_BYTES = 12 * 1024 * 1024
"""Bytes of the bodies in one page; a gRPC message may have 16 MiB."""


class Transaction:
    """One transaction on the activity table."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, activities: Sequence[Activity]) -> None:
        """Insert rows in this order; a row whose id exists is left unchanged.

        An advisory lock lets one writer at a time insert and commit. So `seq` grows in the order of commits, and a
        reader with a cursor never skips a row that becomes visible later.
        """
        await self._connection.execute(_WRITER_LOCK)
        await self._connection.execute(
            _APPEND, {name: [getattr(activity, name) for activity in activities] for name in COLUMNS}
        )

    async def list_activities(self, query: ActivityQuery) -> list[Activity]:
        """Return the newest rows first, or after a cursor the oldest first; raises `ActivityCursorGone`.

        Returns fewer rows than the limit where their bodies exceed MAX_PAGE_BYTES, but at least one.
        """
        conditions, order = _build_conditions(query), sa.desc
        if query.after is not None:
            conditions.append(ACTIVITIES.c.seq > await self._get_cursor_seq(query.workspace_id, query.after))
            order = sa.asc
        rows = await self._connection.execute(_build_page_query(conditions, order, query.limit))
        return [Activity(**row) for row in rows.mappings()]

    async def delete_before(self, moment: datetime, *, limit: int) -> int:
        """Delete at most `limit` rows from before `moment`; returns how many."""
        old = sa.select(ACTIVITIES.c.id).where(ACTIVITIES.c.created_at < moment).limit(limit)
        deleted = await self._connection.execute(sa.delete(ACTIVITIES).where(ACTIVITIES.c.id.in_(old)))
        return deleted.rowcount

    async def _get_cursor_seq(self, workspace_id: str, activity_id: str) -> int:
        seq = await self._connection.scalar(
            sa.select(ACTIVITIES.c.seq).where(
                ACTIVITIES.c.workspace_id == workspace_id,
                sa.cast(ACTIVITIES.c.id, sa.Text) == activity_id.lower(),
            )
        )
        if seq is None:
            raise ActivityCursorGone
        return int(seq)


class Store:
    """Opens transactions on the activity table."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """Open a transaction; it is committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            yield Transaction(connection)


def _build_conditions(query: ActivityQuery) -> list[sa.ColumnElement[bool]]:
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


def _build_page_query(conditions: Sequence[sa.ColumnElement[bool]], order: SortOrder, limit: int) -> sa.Select[Any]:
    """Select at most `limit` rows whose bodies fit into one page; the first row is always selected.

    The response body of a row that exceeds the page by itself is left out.
    """
    seq, size = ACTIVITIES.c.seq, sum((_measure_column(name) for name in BODY_COLUMNS), sa.literal(0))
    found = sa.select(seq, size.label("size")).where(*conditions).order_by(order(seq)).limit(limit).subquery()
    total = sa.func.sum(found.c.size).over(order_by=order(found.c.seq), rows=(None, 0))
    sized = sa.select(found, total.label("total")).subquery()
    fits = sa.or_(sized.c.total <= MAX_PAGE_BYTES, sized.c.total == sized.c.size)
    response_body = sa.case((sized.c.size <= MAX_PAGE_BYTES, ACTIVITIES.c.response_body)).label("response_body")
    columns = [response_body if name == "response_body" else ACTIVITIES.c[name] for name in COLUMNS]
    return sa.select(*columns).join(sized, seq == sized.c.seq).where(fits, *conditions).order_by(order(seq))


def _measure_column(name: str) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.octet_length(ACTIVITIES.c[name]), 0)


def _build_append() -> sa.Executable:
    """Build one statement for any number of rows: each column is one array parameter."""
    arrays = [sa.bindparam(name, type_=ARRAY(ACTIVITIES.c[name].type)) for name in COLUMNS]
    rows: Any = sa.func.unnest(*arrays).table_valued(*COLUMNS, name="rows").render_derived()
    return (
        insert(ACTIVITIES)
        .from_select(COLUMNS, sa.select(*(rows.c[name] for name in COLUMNS)))
        .on_conflict_do_nothing(index_elements=[ACTIVITIES.c.id])
    )


_WRITER_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("a2a_proxy.activities", 0)))

_APPEND = _build_append()
