"""Transactions on the activity table."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, asyncpg, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.errors import ActivityCursorGone, SearchTimeout
from services.a2a_proxy.model import Activity, ActivityQuery, ActivitySearch, Source, WorkspaceId
from services.a2a_proxy.tables import ACTIVITIES, ACTIVITY_USAGE, SCHEMA
from services.chassis import database, database_outage

COLUMNS = tuple(field.name for field in fields(Activity))
"""The columns that hold an `Activity`; the database assigns the remaining one, `seq`."""

SortOrder = Callable[[Any], Any]
"""`sa.asc` or `sa.desc`."""

BODY_COLUMNS = ("request_body", "response_body", "tool_trace")
"""The columns that can be large."""

SIZED_COLUMNS = (*BODY_COLUMNS, "summary", "error_detail")
"""The columns that count for the limits of the log by their length."""

ROW_BYTES = 256
"""Bytes that a row occupies besides the sized columns."""

MAX_PAGE_BYTES = 12 * 1024 * 1024
"""Bytes of the bodies in one page; a gRPC message may have 16 MiB."""


MAX_SEARCHED_ROWS = 10_000
"""Newest rows of a workspace that a search looks at."""

MAX_SEARCHED_BYTES = 32 * 1024 * 1024
"""Bytes of the newest rows of a workspace that a search looks at."""

SEARCHED_COLUMNS = ("activity_type", "method", "status", "summary", "error_detail", "request_body", "response_body")
"""The columns in which a search looks for a text, the short ones first."""

LITERAL_PATTERN = "***="
"""The beginning of a regular expression of PostgreSQL in which each further character stands for itself."""

QUERY_CANCELED_STATE = "57014"
"""The SQLSTATE of a statement that exceeded its time limit."""


class Transaction:
    """One transaction on the activity table."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._has_lock = False

    @property
    def connection(self) -> AsyncConnection:
        """The connection of this transaction, for the stores of other tables."""
        return self._connection

    async def append(self, activities: Sequence[Activity]) -> dict[WorkspaceId, int]:
        """Insert rows in this order; a row whose id exists is left unchanged. Returns the usage of their workspaces.

        The usage is the number of bytes that the rows of a workspace occupy. An advisory lock lets one writer at a time
        insert and commit. So `seq` grows in the order of commits, and a reader with a cursor never skips a row that
        becomes visible later.
        """
        await self.lock()
        columns = {name: [getattr(activity, name) for activity in activities] for name in COLUMNS}
        usage = await _APPEND.execute(self._connection, columns)
        return {WorkspaceId(str(row.workspace_id)): row.bytes for row in usage}

    async def set_status(self, id_: str, status: str) -> None:
        """Change the status of a row, if it is still stored."""
        await self._connection.execute(sa.update(ACTIVITIES).where(ACTIVITIES.c.id == id_).values(status=status))

    async def replace(self, activity: Activity) -> None:
        """Replace the status, the texts and the response of a row, if it is still stored, and correct the usage."""
        await self.lock()
        found = sa.select(_SIZE).where(ACTIVITIES.c.id == activity.id)
        before = await self._connection.scalar(found)
        if before is None:
            return
        values = {name: getattr(activity, name) for name in ("status", "summary", "error_detail", "response_body")}
        await self._connection.execute(sa.update(ACTIVITIES).where(ACTIVITIES.c.id == activity.id).values(values))
        growth = (await self._connection.scalar(found) or 0) - before
        own = sa.update(ACTIVITY_USAGE).where(ACTIVITY_USAGE.c.workspace_id == activity.workspace_id)
        await self._connection.execute(own.values(bytes=ACTIVITY_USAGE.c.bytes + growth))

    async def find_ids(self, ids: Sequence[str]) -> set[str]:
        """Return those of the ids whose rows are stored."""
        found = sa.select(ACTIVITIES.c.id).where(ACTIVITIES.c.id.in_(list(ids)))
        return set((await self._connection.scalars(found)).all())

    async def lock(self) -> None:
        """Let no other transaction add or delete rows until this one ends."""
        if not self._has_lock:
            await self._connection.execute(_WRITER_LOCK)
            self._has_lock = True

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

    async def search(self, search: ActivitySearch, *, within: timedelta) -> list[Activity]:
        """Return the newest rows that contain the text, the newest first; raises `SearchTimeout`.

        It looks at the newest MAX_SEARCHED_ROWS of the workspace, as far as they do not exceed MAX_SEARCHED_BYTES.
        """
        await self._connection.execute(
            _SET_STATEMENT_TIMEOUT, {"milliseconds": str(within // timedelta(milliseconds=1))}
        )
        try:
            rows = await self._connection.execute(_build_search_query(search))
        except sa.exc.DBAPIError as error:
            if database_outage.find_state(error) == QUERY_CANCELED_STATE:
                raise SearchTimeout from None
            raise
        return [Activity(**row) for row in rows.mappings()]

    async def delete_before(self, moment: datetime, *, limit: int) -> int:
        """Delete at most `limit` rows from before `moment`; returns how many."""
        old = sa.select(ACTIVITIES.c.id).where(ACTIVITIES.c.created_at < moment).limit(limit)
        return await self._delete(old)

    async def delete_oldest(self, workspace_id: WorkspaceId, *, surplus: int, limit: int) -> int:
        """Delete the oldest rows of a workspace until `surplus` bytes are free, at most `limit` rows; returns how many.

        Messages that wait for a polling agent are not deleted.
        """
        own = sa.select(ACTIVITIES.c.id, ACTIVITIES.c.seq, _SIZE.label("size"))
        own = own.where(ACTIVITIES.c.workspace_id == workspace_id, sa.not_(_IS_INBOX))
        oldest = own.order_by(ACTIVITIES.c.seq).limit(limit).subquery()
        before = (sa.func.sum(oldest.c.size).over(order_by=oldest.c.seq) - oldest.c.size).label("before")
        sized = sa.select(oldest.c.id, before).subquery()
        return await self._delete(sa.select(sized.c.id).where(sized.c.before < surplus))

    async def delete_by_workspace(self, workspace_id: WorkspaceId, *, limit: int) -> int:
        """Delete at most `limit` rows of a workspace, and of messages that it sent; returns how many."""
        own = sa.or_(ACTIVITIES.c.workspace_id == workspace_id, ACTIVITIES.c.source_id == workspace_id)
        deleted = await self._delete(sa.select(ACTIVITIES.c.id).where(own).limit(limit))
        if deleted < limit:
            usage = ACTIVITY_USAGE.c
            await self._connection.execute(sa.delete(ACTIVITY_USAGE).where(usage.workspace_id == workspace_id))
        return deleted

    async def list_largest(self, *, limit: int) -> dict[WorkspaceId, int]:
        """Return the usage of the workspaces that occupy the most, the largest first."""
        largest = sa.select(ACTIVITY_USAGE).order_by(ACTIVITY_USAGE.c.bytes.desc()).limit(limit)
        return {WorkspaceId(row.workspace_id): row.bytes for row in await self._connection.execute(largest)}

    async def get_usage(self, workspace_id: WorkspaceId) -> int:
        """Return the bytes that the rows of a workspace occupy."""
        usage = ACTIVITY_USAGE.c
        return await self._connection.scalar(sa.select(usage.bytes).where(usage.workspace_id == workspace_id)) or 0

    async def get_total_usage(self) -> int:
        """Return the bytes that all rows occupy."""
        return int(await self._connection.scalar(sa.select(sa.func.sum(ACTIVITY_USAGE.c.bytes))) or 0)

    async def list_workspaces(self) -> list[WorkspaceId]:
        """Return the workspaces that have received or sent messages, or have a usage."""
        return [WorkspaceId(id_) for id_ in await self._connection.scalars(_LIST_WORKSPACES)]

    async def recount_usage(self, workspace_id: WorkspaceId) -> None:
        """Count the usage of a workspace anew, because a replica of an earlier release does not update it."""
        await self.lock()
        await self._connection.execute(sa.delete(ACTIVITY_USAGE).where(ACTIVITY_USAGE.c.workspace_id == workspace_id))
        own = sa.select(ACTIVITIES.c.workspace_id, sa.func.sum(_SIZE)).where(ACTIVITIES.c.workspace_id == workspace_id)
        counted = own.group_by(ACTIVITIES.c.workspace_id)
        await self._connection.execute(sa.insert(ACTIVITY_USAGE).from_select(["workspace_id", "bytes"], counted))

    async def _delete(self, ids: sa.Select[Any]) -> int:
        """Delete the rows with these ids and subtract their bytes from the usage; returns how many."""
        await self.lock()
        gone = sa.delete(ACTIVITIES).where(ACTIVITIES.c.id.in_(ids)).returning(ACTIVITIES.c.workspace_id, _SIZE)
        deleted = gone.cte("deleted")
        size = deleted.c[1]
        freed = (
            sa.select(deleted.c.workspace_id, sa.func.sum(size).label("bytes"), sa.func.count().label("rows"))
            .group_by(deleted.c.workspace_id)
            .cte("freed")
        )
        usage = ACTIVITY_USAGE.c
        update = (
            sa.update(ACTIVITY_USAGE)
            .where(usage.workspace_id == freed.c.workspace_id)
            .values(bytes=usage.bytes - freed.c.bytes)
            .returning(usage.workspace_id)
            .cte("updated")
        )
        count = sa.select(sa.func.coalesce(sa.func.sum(freed.c.rows), 0)).add_cte(update)
        return int(await self._connection.scalar(count) or 0)

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


class CompiledStatement:
    """A statement that is compiled once, for a frequent INSERT with ON CONFLICT.

    SQLAlchemy compiles such an INSERT again at each execution, which takes longer than the execution. The values and
    the rows are those of the driver.
    """

    def __init__(self, statement: sa.UpdateBase) -> None:
        compiled = statement.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
        self._text = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._constants: Mapping[str, Any] = compiled.params

    async def execute(self, connection: AsyncConnection, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        """Execute the statement with the values of its parameters."""
        return await connection.exec_driver_sql(self._text, self._order(values))

    async def fetch(self, connections: DriverConnections, values: Mapping[str, Any]) -> Sequence[Any]:
        """Execute the statement by itself on a connection of the driver; raises `DatabaseUnavailable`."""
        return await connections.fetch(self._text, self._order(values))

    def _order(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        values = {**self._constants, **values}
        return tuple(values[name] for name in self._names)


def build_array_table(
    types: Mapping[str, sa.types.TypeEngine[Any]],
    values: Mapping[str, Sequence[Any]] | None = None,
    *,
    ordinality: str | None = None,
) -> Any:  # noqa: ANN401 - a table of SQLAlchemy has no public type
    """Build a table for any number of rows, where each column is one array.

    The arrays are the given values; without them they are parameters with the names of the columns. `ordinality` names
    a further column, which numbers the rows.
    """
    arrays = [
        sa.bindparam(name, type_=ARRAY(type_)) if values is None else sa.literal(values[name], ARRAY(type_))
        for name, type_ in types.items()
    ]
    columns = [sa.column(name, type_) for name, type_ in types.items()]
    return sa.func.unnest(*arrays).table_valued(*columns, with_ordinality=ordinality).render_derived()


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


def _build_search_query(search: ActivitySearch) -> sa.Select[Any]:
    """Select the newest rows that contain the text; of too many bodies, those of the older rows are left out."""
    seq, own = ACTIVITIES.c.seq, ACTIVITIES.c.workspace_id == search.workspace_id
    newest = sa.select(seq, _SIZE.label("size")).where(own).order_by(seq.desc()).limit(MAX_SEARCHED_ROWS).subquery()
    total = sa.func.sum(newest.c.size).over(order_by=newest.c.seq.desc(), rows=(None, 0)).label("total")
    sized = sa.select(newest.c.seq, newest.c.size, total).subquery()
    fits = sa.or_(sized.c.total <= MAX_SEARCHED_BYTES, sized.c.total == sized.c.size)
    first = sa.select(sa.func.min(sized.c.seq)).where(fits).scalar_subquery()
    found = sa.select(ACTIVITIES).where(own, seq >= first)
    if search.text:
        found = found.where(sa.or_(*(_contains(name, search.text) for name in SEARCHED_COLUMNS)))
    page = found.order_by(seq.desc()).limit(search.limit).subquery()
    bodies = sum((sa.func.coalesce(sa.func.octet_length(page.c[name]), 0) for name in BODY_COLUMNS), sa.literal(0))
    told = sa.func.sum(bodies).over(order_by=page.c.seq.desc(), rows=(None, 0))
    columns = [
        sa.case((told <= MAX_PAGE_BYTES, page.c[name])).label(name) if name in BODY_COLUMNS else page.c[name]
        for name in COLUMNS
    ]
    return sa.select(*columns).order_by(page.c.seq.desc())


def _contains(name: str, text: str) -> sa.ColumnElement[bool]:
    """Whether a column contains the text, whatever the case of ASCII letters, which the collation limits it to.

    LIKE and strpos need time in proportion to the product of both lengths, and nothing interrupts them within one
    value. The matcher of regular expressions needs time in proportion to their sum, and obeys the time limit.
    """
    return sa.collate(ACTIVITIES.c[name], "C").regexp_match(f"{LITERAL_PATTERN}{text}", flags="i")


def _measure_column(name: str) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.octet_length(ACTIVITIES.c[name]), 0)


def _build_append() -> CompiledStatement:
    """Build one statement for any number of rows, where each column is one array parameter; it adds to the usage."""
    rows = build_array_table({name: ACTIVITIES.c[name].type for name in COLUMNS})
    added = (
        insert(ACTIVITIES)
        .from_select(COLUMNS, sa.select(*(rows.c[name] for name in COLUMNS)))
        .on_conflict_do_nothing(index_elements=[ACTIVITIES.c.id])
        .returning(ACTIVITIES.c.workspace_id, _SIZE.label("size"))
        .cte("added")
    )
    sums = sa.select(added.c.workspace_id, sa.func.sum(added.c.size)).group_by(added.c.workspace_id)
    usage = insert(ACTIVITY_USAGE).from_select(["workspace_id", "bytes"], sums)
    total = ACTIVITY_USAGE.c.bytes + usage.excluded.bytes
    upsert = usage.on_conflict_do_update(index_elements=["workspace_id"], set_={"bytes": total})
    return CompiledStatement(upsert.returning(ACTIVITY_USAGE.c.workspace_id, ACTIVITY_USAGE.c.bytes))


def select_distinct(column: sa.Column[Any], *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select the distinct values of an indexed column in the rows that meet conditions.

    It reads the index once for each value, not every row.
    """
    values = sa.select(column).where(column.is_not(None), *conditions).order_by(column).limit(1)
    found = sa.select(values.scalar_subquery().label("value")).cte(f"each_{column.name}", recursive=True)
    following = values.where(column > found.c.value).correlate(found)
    found = found.union_all(sa.select(following.scalar_subquery()).where(found.c.value.is_not(None)))
    return sa.select(found.c.value).where(found.c.value.is_not(None))


_SIZE = sum((_measure_column(name) for name in SIZED_COLUMNS), sa.literal_column(str(ROW_BYTES)))
"""The bytes that a row occupies."""

_QUEUE = sa.table("queued_messages", sa.column("id"), sa.column("state"), schema=SCHEMA)

_IS_INBOX = sa.exists().where(
    _QUEUE.c.id == ACTIVITIES.c.id,
    _QUEUE.c.state.in_([sa.literal_column("'queued'"), sa.literal_column("'dispatching'")]),
)
"""Messages that wait for their agent, which may read them from its activity."""


_LIST_WORKSPACES = sa.union(
    select_distinct(ACTIVITIES.c.workspace_id),
    select_distinct(ACTIVITIES.c.source_id),
    sa.select(ACTIVITY_USAGE.c.workspace_id),
)

_SET_STATEMENT_TIMEOUT = sa.select(sa.func.set_config("statement_timeout", sa.bindparam("milliseconds"), True))
"""Limits the time of each later statement of this transaction."""

_WRITER_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("a2a_proxy.activities", 0)))

_APPEND = _build_append()
