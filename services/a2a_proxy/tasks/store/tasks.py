"""Transactions on the register of tasks, and queries on queued messages as tasks."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import Change, MessageState, QueuedMessage
from services.a2a_proxy.queue.store.connection import CHANNEL, Observer
from services.a2a_proxy.queue.store.rows import message_from_row
from services.a2a_proxy.queue.store.statements import MESSAGE_COLUMNS, NOW
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES
from services.a2a_proxy.store import CompiledStatement, build_array_table, select_distinct
from services.a2a_proxy.tables import ACTIVITIES
from services.a2a_proxy.tasks.model import KnownTask, NewTask, TaskListQuery, TaskOwner
from services.a2a_proxy.tasks.tables import TASKS
from services.chassis import database

LISTED_METHODS = ("message/send", "message/stream", "SendMessage", "SendStreamingMessage")
"""The methods of the messages that a list of tasks shows."""

MAX_LISTED_BYTES = 64 * 1024
"""Bytes of the largest request that a task shows as its history, and of the largest answer that a list of tasks reads.

A task with a larger request is shown without its history, and one with a larger answer is listed without its contents.
"""

_T = TASKS.c
_M = QUEUED_MESSAGES.c


class TaskTransaction:
    """One transaction on the register."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # The register ────────────────────────────────────────────────────────────

    async def note(self, tasks: Sequence[NewTask]) -> dict[tuple[WorkspaceId, str], KnownTask]:
        """Store tasks, each only once, and return what is known of them: the first owner stays the owner.

        The queued message is the last one of this owner that the agent answered with the task.
        """
        return _read_noted(await _NOTE.execute(self._connection, _list_columns(tasks)))

    async def find(self, target: WorkspaceId, task_ids: Sequence[str]) -> dict[str, KnownTask]:
        """Return those of the tasks of a workspace that are known."""
        query = sa.select(TASKS).where(_T.target_id == target, _T.task_id.in_(list(task_ids)))
        return {row.task_id: _task_from_row(row) for row in await self._connection.execute(query)}

    async def count(
        self, target: WorkspaceId, caller: TaskOwner, org_workspaces: Sequence[WorkspaceId], context_id: str | None
    ) -> int:
        """Return how many tasks of a workspace a caller may see, in one context if it is given."""
        conditions = [
            _T.target_id == target,
            _is_visible((_T.owner_id, _T.owner_org_id, _T.owner_token_id), caller, org_workspaces),
        ]
        if context_id is not None:
            conditions.append(_T.context_id == context_id)
        return int(await self._connection.scalar(sa.select(sa.func.count()).where(*conditions)) or 0)

    async def trim(self, target: WorkspaceId, *, keep: int, limit: int) -> int:
        """Delete at most `limit` tasks of a workspace beyond the `keep` newest; returns how many."""
        own = sa.select(_T.task_id).where(_T.target_id == target).order_by(_T.seen_at.desc())
        surplus = own.offset(keep).limit(limit)
        deleted = sa.delete(TASKS).where(_T.target_id == target, _T.task_id.in_(surplus))
        return (await self._connection.execute(deleted)).rowcount

    async def delete_old(self, target: WorkspaceId, *, age: timedelta, limit: int) -> int:
        """Delete at most `limit` tasks of a workspace that were last seen before `age`; returns how many."""
        old = sa.select(_T.task_id).where(_T.target_id == target, _T.seen_at < NOW - age).limit(limit)
        deleted = sa.delete(TASKS).where(_T.target_id == target, _T.task_id.in_(old))
        return (await self._connection.execute(deleted)).rowcount

    async def list_targets(self) -> list[WorkspaceId]:
        """Return the workspaces whose tasks are known."""
        return [WorkspaceId(target) for target in await self._connection.scalars(select_distinct(_T.target_id))]

    async def purge(self, workspace_id: WorkspaceId, *, limit: int) -> int:
        """Delete at most `limit` tasks that a workspace worked on, and as many that it made; returns how many."""
        total = 0
        for own in (_T.target_id == workspace_id, _T.owner_id == workspace_id):
            chosen = sa.select(_T.target_id, _T.task_id).where(own).limit(limit)
            deleted = sa.delete(TASKS).where(sa.tuple_(_T.target_id, _T.task_id).in_(chosen))
            total += (await self._connection.execute(deleted)).rowcount
        return total

    # Queued messages ─────────────────────────────────────────────────────────

    async def notify(self) -> None:
        """Wake those who follow queued messages, once this transaction is committed."""
        await self._connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))

    async def read_states(self, ids: Sequence[str]) -> dict[str, tuple[MessageState, int]]:
        """Return the states and the generations of the leases of queued messages."""
        query = sa.select(_M.id, _M.state, _M.lease_generation).where(_M.id.in_(list(ids)))
        return {
            row.id: (MessageState(row.state), row.lease_generation) for row in await self._connection.execute(query)
        }

    async def find_messages(self, target: WorkspaceId, ids: Sequence[str]) -> dict[str, QueuedMessage]:
        """Return messages of a target without their bodies, but with their answers."""
        query = _SELECT_ANSWERED.where(_M.target_id == target, _M.id.in_(list(ids)))
        found = [message_from_row(row) for row in await self._connection.execute(query)]
        return {message.id: message for message in found}

    async def read_requests(self, ids: Sequence[str], *, max_bytes: int | None = None) -> dict[str, bytes]:
        """Return the requests of messages, as far as they are kept; those over `max_bytes` are left out.

        The queue drops a request when its message ends; the activity log has it longer.
        """
        logged = sa.func.convert_to(ACTIVITIES.c.request_body, "UTF8")
        request = sa.case((sa.func.octet_length(_M.body) > 0, _M.body), else_=logged)
        joined = QUEUED_MESSAGES.outerjoin(ACTIVITIES, ACTIVITIES.c.id == _M.id)
        query = sa.select(_M.id, request.label("request")).select_from(joined).where(_M.id.in_(list(ids)))
        if max_bytes is not None:
            query = query.where(sa.func.octet_length(request) <= max_bytes)
        rows = await self._connection.execute(query)
        return {row.id: bytes(row.request) for row in rows if row.request is not None}

    async def list_messages(
        self, target: WorkspaceId, caller: TaskOwner, org_workspaces: Sequence[WorkspaceId], query: TaskListQuery
    ) -> tuple[list[QueuedMessage], int]:
        """Return the messages of a page, without large answers and one more than fit, and how many there are in all.

        Those that changed last come first.
        """
        conditions = _build_conditions(target, caller, org_workspaces, query)
        total = int(await self._connection.scalar(sa.select(sa.func.count()).where(*conditions)) or 0)
        if query.before is not None:
            end = sa.tuple_(sa.literal(query.before.changed_at), sa.literal(query.before.seq))
            conditions.append(sa.tuple_(_CHANGED_AT, _M.seq) < end)
        fits = sa.func.octet_length(_M.answer_body) <= MAX_LISTED_BYTES
        columns = [column for column in _COLUMNS if column.name != "answer_body"]
        page = sa.select(*columns, _NO_BODY, sa.case((fits, _M.answer_body)).label("answer_body"))
        page = page.where(*conditions).order_by(_CHANGED_AT.desc(), _M.seq.desc()).limit(query.page_size + 1)
        return [message_from_row(row) for row in await self._connection.execute(page)], total


class TaskStore:
    """Opens transactions on the register."""

    def __init__(self, engine: AsyncEngine, connections: DriverConnections) -> None:
        self._engine = engine
        self._autocommit_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connections = connections

    async def note(self, tasks: Sequence[NewTask]) -> dict[tuple[WorkspaceId, str], KnownTask]:
        """Store tasks as `TaskTransaction.note` does, in a transaction of their own; raises `Unavailable`."""
        return _read_noted(await _NOTE.fetch(self._connections, _list_columns(tasks)))

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[TaskTransaction]:
        """Open a transaction; it is committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            yield TaskTransaction(connection)

    @asynccontextmanager
    async def begin_single(self) -> AsyncIterator[TaskTransaction]:
        """Open a connection on which each statement is committed by itself, which takes one turn instead of three."""
        async with database.transaction(self._autocommit_engine) as connection:
            yield TaskTransaction(connection)


def build_observer(follow: Callable[[TaskTransaction, Sequence[Change]], Awaitable[None]]) -> Observer:
    """Return the observer of the queue that calls `follow` with every change, in the transaction that makes it."""

    async def observe(connection: AsyncConnection, changes: Sequence[Change]) -> None:
        await follow(TaskTransaction(connection), changes)

    return observe


def _build_conditions(
    target: WorkspaceId, caller: TaskOwner, org_workspaces: Sequence[WorkspaceId], query: TaskListQuery
) -> list[sa.ColumnElement[bool]]:
    conditions = [
        _M.target_id == target,
        _M.method.in_(LISTED_METHODS),
        _is_visible((_M.caller_id, _M.caller_org_id, _M.caller_token_id), caller, org_workspaces),
    ]
    if query.context_id is not None:
        conditions.append(_M.context_id == query.context_id)
    if query.state is not None:
        conditions.append(sa.literal(query.state) == _STATE)
    if query.changed_after is not None:
        conditions.append(sa.literal(query.changed_after) <= _CHANGED_AT)
    return conditions


def _is_visible(
    owner: tuple[sa.ColumnElement[Any], sa.ColumnElement[Any], sa.ColumnElement[Any]],
    caller: TaskOwner,
    org_workspaces: Sequence[WorkspaceId],
) -> sa.ColumnElement[bool]:
    """Whether a caller may see what an owner made (`rules.may_see`); the columns are those of `TaskOwner`."""
    workspace_id, org_id, token_id = owner
    if caller.workspace_id is not None:
        return workspace_id == caller.workspace_id
    if caller.token_id is not None:
        return sa.and_(workspace_id.is_(None), org_id == caller.org_id, token_id == caller.token_id)
    if caller.org_id is not None:
        is_own = sa.and_(workspace_id.is_(None), org_id == caller.org_id)
        return sa.or_(is_own, workspace_id.in_(list(org_workspaces)))
    return sa.true()


def _list_columns(tasks: Sequence[NewTask]) -> dict[str, list[Any]]:
    """Return the columns of tasks in one order, so that two transactions never wait for each other."""
    ordered = sorted(tasks, key=lambda task: (task.target_id, task.task_id))
    return {
        "target_id": [task.target_id for task in ordered],
        "task_id": [task.task_id for task in ordered],
        "owner_id": [task.owner.workspace_id for task in ordered],
        "owner_org_id": [task.owner.org_id for task in ordered],
        "owner_token_id": [task.owner.token_id for task in ordered],
        "context_id": [task.context_id for task in ordered],
        "queue_id": [task.queue_id for task in ordered],
    }


def _read_noted(rows: Iterable[Any]) -> dict[tuple[WorkspaceId, str], KnownTask]:
    """Return the tasks in the rows of `_NOTE`, which are those of the driver or of SQLAlchemy."""
    return {(WorkspaceId(str(row[0])), str(row[1])): _build_task(*row[2:]) for row in rows}


def _task_from_row(row: Any) -> KnownTask:  # noqa: ANN401 - a row of SQLAlchemy
    return _build_task(row.owner_id, row.owner_org_id, row.owner_token_id, row.queue_id)


def _build_task(owner_id: object, owner_org_id: str | None, owner_token_id: str | None, queue_id: object) -> KnownTask:
    owner = TaskOwner(None if owner_id is None else WorkspaceId(str(owner_id)), owner_org_id, owner_token_id)
    return KnownTask(owner=owner, queue_id=None if queue_id is None else str(queue_id))


def _build_note() -> CompiledStatement:
    owners = ("owner_id", "owner_org_id", "owner_token_id")
    names = ("target_id", "task_id", *owners, "context_id", "queue_id")
    rows = build_array_table({name: _T[name].type for name in names}, ordinality="place")
    selected = sa.select(*(rows.c[name] for name in names), NOW, NOW).order_by(rows.c.place)
    upsert = insert(TASKS).from_select([*names, "created_at", "seen_at"], selected)
    given = upsert.excluded
    is_same_owner = sa.and_(*(_T[name].is_not_distinct_from(given[name]) for name in owners))
    latest = sa.case((is_same_owner, sa.func.coalesce(given.queue_id, _T.queue_id)), else_=_T.queue_id)
    seen = upsert.on_conflict_do_update(
        index_elements=["target_id", "task_id"], set_={"seen_at": NOW, "queue_id": latest}
    )
    return CompiledStatement(seen.returning(_T.target_id, _T.task_id, *(_T[name] for name in owners), _T.queue_id))


_NOTE = _build_note()

_NO_BODY: sa.ColumnElement[bytes] = sa.literal_column("''::bytea").label("body")

_COLUMNS = [column for column in MESSAGE_COLUMNS if column.name != "body"]

_SELECT_ANSWERED = sa.select(*_COLUMNS, _NO_BODY)
"""Selects messages without their bodies."""

_STATE = sa.func.coalesce(
    _M.answer_state,
    sa.case(
        (_M.state == MessageState.QUEUED.value, "submitted"),
        (_M.state == MessageState.DISPATCHING.value, "working"),
        (_M.state == MessageState.DROPPED.value, "canceled"),
        (sa.and_(_M.state == MessageState.COMPLETED.value, _M.result == "ok"), "completed"),
        else_="failed",
    ),
)
"""The state of the task that stands for a message (`views.STATES`)."""

_CHANGED_AT = sa.case(
    (_M.state == MessageState.QUEUED.value, _M.accepted_at),
    (_M.state == MessageState.DISPATCHING.value, sa.func.coalesce(_M.dispatched_at, _M.accepted_at)),
    else_=sa.func.coalesce(_M.ended_at, _M.accepted_at),
)
"""When a message came into its state."""
