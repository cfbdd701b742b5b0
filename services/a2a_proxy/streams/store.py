"""Transactions on the recordings of streams."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from molecule_a2a.model import Dialect
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.store import CompiledStatement, build_array_table
from services.a2a_proxy.streams.model import Ending, EventWrite, NewRecording, RecordedEvent, RecordedStream
from services.a2a_proxy.streams.tables import STREAM_EVENTS, STREAM_WRITERS, STREAMS
from services.a2a_proxy.tasks.model import TaskOwner
from services.chassis import database

CONNECTION_SETTINGS = {"synchronous_commit": "off"}
"""The parameters of the connections by which events are stored."""

MAX_READ_BYTES = 512 * 1024
"""Bytes of events after which a read takes no further one."""

MAX_READ_EVENTS = 500
"""Events that one statement reads."""

MAX_LAST_EVENTS = 20
"""Events in which it is looked for the end of a task whose proxy is gone."""

MAX_LAST_EVENT_BYTES = 64 * 1024

_S = STREAMS.c
_E = STREAM_EVENTS.c
_W = STREAM_WRITERS.c

_NOW = sa.func.statement_timestamp()


class StreamTransaction:
    """One transaction on recordings."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # Writing ─────────────────────────────────────────────────────────────────

    async def note_sizes(self, sizes: Mapping[str, int]) -> None:
        """Store how many bytes the events of streams occupy."""
        rows = build_array_table({"id": _S.id.type, "bytes": _S.bytes.type}, _split(sizes))
        await self._connection.execute(sa.update(STREAMS).where(_S.id == rows.c.id).values(bytes=rows.c.bytes))

    async def drop_events(self, stream_id: str, first_seq: int) -> None:
        """Delete the events of a stream before `first_seq`."""
        await self._connection.execute(sa.update(STREAMS).where(_S.id == stream_id).values(first_seq=first_seq))
        await self._connection.execute(sa.delete(STREAM_EVENTS).where(_E.stream_id == stream_id, _E.seq < first_seq))

    # Writers ─────────────────────────────────────────────────────────────────

    async def note_writer(self, writer_id: str) -> None:
        """Store that a proxy is alive."""
        alive = insert(STREAM_WRITERS).values(id=writer_id, seen_at=_NOW)
        await self._connection.execute(alive.on_conflict_do_update(index_elements=["id"], set_={"seen_at": _NOW}))

    async def remove_writer(self, writer_id: str) -> None:
        """Forget a proxy that stops."""
        await self._connection.execute(sa.delete(STREAM_WRITERS).where(_W.id == writer_id))

    async def remove_lost_writers(self, *, age: timedelta) -> None:
        """Forget the proxies that were not alive within `age`."""
        await self._connection.execute(sa.delete(STREAM_WRITERS).where(_W.seen_at < _NOW - age))

    async def list_abandoned(self, *, age: timedelta, limit: int) -> list[str]:
        """Return streams that began before `age`, have not ended, and whose proxy is not known any more."""
        is_lost = sa.and_(_S.begun_at < _NOW - age, ~sa.exists().where(_W.id == _S.writer_id))
        return await self._list_open(is_lost, limit)

    async def list_open(self, writer_id: str, *, limit: int) -> list[str]:
        """Return the streams of a proxy that have not ended."""
        return await self._list_open(_S.writer_id == writer_id, limit)

    async def end_open(self, ids: Sequence[str], ending: Ending) -> int:
        """End those of the streams that have not ended; returns how many."""
        ended = sa.update(STREAMS).where(_S.ended_at.is_(None), _S.id.in_(list(ids)))
        return (await self._connection.execute(ended.values(ended_at=_NOW, ending=ending.value))).rowcount

    async def read_last(self, ids: Sequence[str]) -> dict[str, list[bytes]]:
        """Return the last few events of streams in their order, without large ones."""
        last = sa.select(_E.seq, _E.event).where(_E.stream_id == _S.id).order_by(_E.seq.desc()).limit(MAX_LAST_EVENTS)
        page = last.lateral()
        query = sa.select(_S.id, page.c.event).join(page, sa.true()).where(_S.id.in_(list(ids)))
        query = query.where(sa.func.octet_length(page.c.event) <= MAX_LAST_EVENT_BYTES).order_by(_S.id, page.c.seq)
        found: dict[str, list[bytes]] = {id_: [] for id_ in ids}
        for row in await self._connection.execute(query):
            found[str(row.id)].append(row.event)
        return found

    async def _list_open(self, condition: sa.ColumnElement[bool], limit: int) -> list[str]:
        found = sa.select(_S.id).where(_S.ended_at.is_(None), condition).limit(limit)
        return [str(id_) for id_ in await self._connection.scalars(found)]

    # Reading ─────────────────────────────────────────────────────────────────

    async def find(self, stream_id: str) -> RecordedStream | None:
        """Return what is stored of a stream besides its events."""
        row = (await self._connection.execute(_FIND.where(_S.id == stream_id))).one_or_none()
        return None if row is None else _stream_from_row(row)

    async def find_by_task(self, target: WorkspaceId, task_id: str) -> RecordedStream | None:
        """Return the recording of a task that tells most: one that goes on, else the last one that was completed."""
        own = _FIND.where(_S.target_id == target, _S.task_id == task_id, _S.first_seq == 1)
        rank = sa.case((_S.ended_at.is_(None), 0), (_S.ending == Ending.COMPLETED.value, 1), else_=2)
        row = (await self._connection.execute(own.order_by(rank, _S.begun_at.desc()).limit(1))).one_or_none()
        return None if row is None else _stream_from_row(row)

    async def read(self, stream_id: str, after: int) -> list[RecordedEvent]:
        """Return the events after a position, at least one of them and no more than a page."""
        size = sa.func.sum(sa.func.octet_length(_E.event)).over(order_by=_E.seq, rows=(None, -1))
        later = sa.select(_E.seq, size.label("before")).where(_E.stream_id == stream_id, _E.seq > after)
        page = later.order_by(_E.seq).limit(MAX_READ_EVENTS).subquery()
        fits = sa.func.coalesce(page.c.before, 0) < MAX_READ_BYTES
        found = sa.select(_E.seq, _E.event).join(page, _E.seq == page.c.seq)
        rows = await self._connection.execute(found.where(_E.stream_id == stream_id, fits).order_by(_E.seq))
        return [RecordedEvent(row.seq, row.event) for row in rows]

    async def find_changed(self, seen: Mapping[str, int]) -> list[str]:
        """Return those of the streams that have events after the given position, or have ended, or are not kept."""
        rows = build_array_table({"id": _S.id.type, "seq": _E.seq.type}, _split(seen, "seq"))
        has_more = sa.exists().where(_E.stream_id == rows.c.id, _E.seq > rows.c.seq)
        goes_on = sa.exists().where(_S.id == rows.c.id, _S.ended_at.is_(None))
        return [str(id_) for id_ in await self._connection.scalars(sa.select(rows.c.id).where(has_more | ~goes_on))]

    # Erasing ─────────────────────────────────────────────────────────────────

    async def list_old(self, *, age: timedelta, limit: int) -> list[str]:
        """Return streams that ended before `age`."""
        old = sa.select(_S.id).where(_S.ended_at < _NOW - age).limit(limit)
        return [str(id_) for id_ in await self._connection.scalars(old)]

    async def list_oldest(self, *, surplus: int, limit: int) -> list[str]:
        """Return the streams that ended first and occupy `surplus` bytes together, at most `limit`."""
        ended = sa.select(_S.id, _S.bytes).where(_S.ended_at.is_not(None)).order_by(_S.ended_at).limit(limit)
        found: list[str] = []
        for row in await self._connection.execute(ended):
            if surplus <= 0:
                break
            found.append(str(row.id))
            surplus -= row.bytes
        return found

    async def list_of_workspace(self, workspace_id: WorkspaceId, *, limit: int) -> list[str]:
        """Return streams of a workspace, and such that it asked for."""
        own = sa.or_(_S.target_id == workspace_id, _S.owner_id == workspace_id)
        return [str(id_) for id_ in await self._connection.scalars(sa.select(_S.id).where(own).limit(limit))]

    async def measure(self) -> int:
        """Return the bytes of all recordings."""
        return int(await self._connection.scalar(sa.select(sa.func.sum(_S.bytes))) or 0)

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete streams with their events."""
        await self._connection.execute(sa.delete(STREAM_EVENTS).where(_E.stream_id.in_(list(ids))))
        await self._connection.execute(sa.delete(STREAMS).where(_S.id.in_(list(ids))))


class StreamStore:
    """Stores events, and opens transactions on recordings."""

    def __init__(self, engine: AsyncEngine, connections: DriverConnections) -> None:
        """Commits on `connections` do not wait for the disk (`CONNECTION_SETTINGS`)."""
        self._engine = engine
        self._autocommit_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connections = connections

    async def append(self, writes: Sequence[EventWrite], writer_id: str) -> None:
        """Store events, and the streams that begin with them; what is stored already stays as it is.

        The commits do not wait for the disk: events outlive the proxy, but not a crash of the database just after.
        """
        events = [(write.stream_id, event) for write in writes for event in write.events]
        columns: dict[str, list[Any]] = {
            "stream_id": [stream_id for stream_id, _ in events],
            "seq": [event.seq for _, event in events],
            "event": [event.frame for _, event in events],
        }
        begun = [(write.begins, write.task_id) for write in writes if write.begins is not None]
        if begun:
            await _BEGIN.fetch(self._connections, columns | _list_columns(begun, writer_id))
        else:
            await _APPEND.fetch(self._connections, columns)
        later = {
            write.stream_id: write.task_id for write in writes if write.task_id is not None and write.begins is None
        }
        if later:
            values = {"id": list(later), "task_id": list(later.values())}
            await _NAME_TASKS.fetch(self._connections, values)

    async def end(self, endings: Mapping[str, Ending], sizes: Mapping[str, int]) -> None:
        """End streams; `sizes` are the bytes of their events. The commit waits for the disk."""
        values: dict[str, list[Any]] = {
            "id": list(endings),
            "ending": [ending.value for ending in endings.values()],
            "bytes": [sizes.get(id_, 0) for id_ in endings],
        }
        await _END.fetch(self._connections, values)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[StreamTransaction]:
        """Open a transaction; it is committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            yield StreamTransaction(connection)

    @asynccontextmanager
    async def begin_single(self) -> AsyncIterator[StreamTransaction]:
        """Open a connection on which each statement is committed by itself, which takes one turn instead of three."""
        async with database.transaction(self._autocommit_engine) as connection:
            yield StreamTransaction(connection)


def _split(values: Mapping[str, int], name: str = "bytes") -> dict[str, list[Any]]:
    return {"id": list(values), name: list(values.values())}


def _list_columns(begun: Sequence[tuple[NewRecording, str | None]], writer_id: str) -> dict[str, list[Any]]:
    return {
        "id": [new.id for new, _ in begun],
        "target_id": [new.target_id for new, _ in begun],
        "owner_id": [new.owner.workspace_id for new, _ in begun],
        "owner_org_id": [new.owner.org_id for new, _ in begun],
        "owner_token_id": [new.owner.token_id for new, _ in begun],
        "writer_id": [writer_id] * len(begun),
        "dialect": [new.dialect.value for new, _ in begun],
        "request_id": [new.request_id for new, _ in begun],
        "task_id": [task_id for _, task_id in begun],
    }


def _stream_from_row(row: Any) -> RecordedStream:  # noqa: ANN401 - a row of SQLAlchemy
    workspace_id = None if row.owner_id is None else WorkspaceId(str(row.owner_id))
    return RecordedStream(
        id=str(row.id),
        target_id=WorkspaceId(str(row.target_id)),
        owner=TaskOwner(workspace_id, row.owner_org_id, row.owner_token_id),
        dialect=Dialect(row.dialect),
        request_id=bytes(row.request_id),
        first_seq=row.first_seq,
        last_seq=max(row.last_seq or 0, row.first_seq - 1),
        ending=None if row.ending is None else Ending(row.ending),
    )


def _build_append() -> Insert:
    names = ("stream_id", "seq", "event")
    rows = build_array_table({name: _E[name].type for name in names})
    selected = sa.select(*(rows.c[name] for name in names))
    append = insert(STREAM_EVENTS).from_select(list(names), selected)
    return append.on_conflict_do_nothing(index_elements=["stream_id", "seq"])


def _build_begin() -> Insert:
    """Build one statement that stores streams and events, so that the first event waits for one turn only."""
    owner = ("owner_id", "owner_org_id", "owner_token_id")
    names = ("id", "target_id", *owner, "writer_id", "dialect", "request_id", "task_id")
    rows = build_array_table({name: _S[name].type for name in names})
    first_seq: sa.ColumnElement[int] = sa.literal_column("1")
    size: sa.ColumnElement[int] = sa.literal_column("0")
    selected = sa.select(*(rows.c[name] for name in names), first_seq, size, _NOW)
    begin = insert(STREAMS).from_select([*names, "first_seq", "bytes", "begun_at"], selected)
    begun = begin.on_conflict_do_nothing(index_elements=["id"]).returning(_S.id).cte("begun")
    return _build_append().add_cte(begun)


def _build_name_tasks() -> CompiledStatement:
    rows = build_array_table({"id": _S.id.type, "task_id": _S.task_id.type})
    named = sa.update(STREAMS).where(_S.id == rows.c.id)
    return CompiledStatement(named.values(task_id=rows.c.task_id))


def _build_end() -> CompiledStatement:
    rows = build_array_table({name: _S[name].type for name in ("id", "ending", "bytes")})
    waits_for_disk = sa.func.set_config("synchronous_commit", "on", True).is_not(None)
    ended = sa.update(STREAMS).where(_S.id == rows.c.id, waits_for_disk)
    return CompiledStatement(ended.values(ended_at=_NOW, ending=rows.c.ending, bytes=rows.c.bytes))


_BEGIN = CompiledStatement(_build_begin())
_APPEND = CompiledStatement(_build_append())
_NAME_TASKS = _build_name_tasks()
_END = _build_end()

_LAST_SEQ = sa.select(sa.func.max(_E.seq)).where(_E.stream_id == _S.id).scalar_subquery()

_FIND = sa.select(
    _S.id,
    _S.target_id,
    _S.owner_id,
    _S.owner_org_id,
    _S.owner_token_id,
    _S.dialect,
    _S.request_id,
    _S.first_seq,
    _S.ending,
    _LAST_SEQ.label("last_seq"),
)
