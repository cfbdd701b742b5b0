"""Transactions on the queue."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.a2a_proxy import store as activity_store
from services.a2a_proxy.model import Activity, WorkspaceId
from services.a2a_proxy.queue.model import (
    HELD_STATES,
    Accepted,
    AcceptResult,
    Account,
    AlreadyAccepted,
    Attempt,
    Change,
    Full,
    IdReused,
    LeaseKind,
    MessageState,
    NewMessage,
    QueuedMessage,
    QueueLimits,
    Result,
    Usage,
    WaitReason,
)
from services.a2a_proxy.queue.rules import has_room, measure
from services.a2a_proxy.queue.tables import IS_DISPATCHING, IS_QUEUED, QUEUE_CALLERS, QUEUE_TARGETS, QUEUED_MESSAGES
from services.a2a_proxy.store import CompiledStatement
from services.chassis import database, strict_json

CHANNEL = "a2a_proxy_queue"
"""The notification channel: a message was accepted or may be delivered again."""

IDENTITY_LIFETIME = timedelta(hours=24)
"""Time after the end of a message during which its id is known."""

MAX_PAGE_ROWS = 500
"""Rows of the largest page."""

Observer = Callable[[AsyncConnection, Sequence[Change]], Awaitable[None]]
"""Receives changes of messages in the transaction that makes them."""

Work = Callable[[AsyncConnection], Awaitable[None]]
"""Work of another part in the transaction of a message."""

_M = QUEUED_MESSAGES.c
_T = QUEUE_TARGETS.c
_C = QUEUE_CALLERS.c


class QueueTransaction:
    """One transaction on the queue."""

    def __init__(self, connection: AsyncConnection, observers: Sequence[Observer] = ()) -> None:
        self._connection = connection
        self._observers = observers
        self._activity = activity_store.Transaction(connection)

    @property
    def connection(self) -> AsyncConnection:
        """The connection of this transaction, for the stores of other tables."""
        return self._connection

    async def now(self) -> datetime:
        """Return the time of the database, by which all leases and delays count."""
        return (await self._connection.execute(sa.select(_NOW))).scalar_one()

    async def append_activity(self, rows: Sequence[Activity]) -> dict[WorkspaceId, int]:
        """Write activity rows in this transaction; returns the usage of their workspaces."""
        return await self._activity.append(rows) if rows else {}

    async def run(self, work: Work) -> None:
        """Run work of another part in this transaction."""
        await work(self._connection)

    # Accepting ───────────────────────────────────────────────────────────────

    async def accept(self, messages: Sequence[NewMessage], limits: QueueLimits) -> list[AcceptResult]:
        """Store messages in this order; returns one result for each.

        The writer lock of the activity lets one transaction accept at a time, so `seq` grows in the order of commits.
        """
        await self._activity.lock()
        known = await self._find_identities([message.identity for message in messages if message.identity])
        stored_before = await self._find_stored([message.id for message in messages])
        targets = await self._read_targets({message.target_id for message in messages})
        callers = await self._read_callers({message.caller_id for message in messages if message.caller_id})
        results: list[AcceptResult] = []
        stored: list[NewMessage] = []
        for message in messages:
            earlier = known.get(message.identity) if message.identity else None
            caller = callers.get(message.caller_id, Usage()) if message.caller_id else Usage()
            target = targets.get(message.target_id, Usage())
            if message.id in stored_before:  # by an attempt to store it whose result was unknown
                results.append(Accepted(message.id, target.messages))
            elif earlier is not None:
                id_, state, digest = earlier
                results.append(AlreadyAccepted(id_, state) if digest == message.digest else IdReused())
            elif not has_room(message, target, caller, limits):
                results.append(Full())
            else:
                targets[message.target_id] = target = _add(target, measure(message))
                if message.caller_id:
                    callers[message.caller_id] = _add(caller, measure(message))
                if message.identity:
                    known[message.identity] = message.id, MessageState.QUEUED, message.digest
                stored.append(message)
                results.append(Accepted(message.id, target.messages))
        await self._insert(stored)
        return results

    async def find_identity(self, identity: bytes) -> tuple[str, MessageState, bytes] | None:
        """Return id, state and digest of the message with an identity, if it is known."""
        return (await self._find_identities([identity])).get(identity)

    async def list_identities(
        self, *, after: int, limit: int, known_only: bool = False
    ) -> list[tuple[int, WorkspaceId, bytes | None]]:
        """Return number, target and identity of the messages that were accepted after a number, in their order."""
        query = sa.select(_M.seq, _M.target_id, _M.identity).where(_M.seq > after).order_by(_M.seq).limit(limit)
        if known_only:
            query = query.where(_M.identity.is_not(None))
        return [(row.seq, WorkspaceId(row.target_id), row.identity) for row in await self._connection.execute(query)]

    async def get_last_seq(self) -> int:
        """Return the number of the message that was accepted last; 0 for none."""
        return await self._connection.scalar(sa.select(sa.func.max(_M.seq))) or 0

    async def count_identities(self, limit: int) -> int:
        """Return how many identities are known, at most `limit`."""
        known = sa.select(_M.id).where(_M.identity.is_not(None)).limit(limit).subquery()
        return await self._connection.scalar(sa.select(sa.func.count()).select_from(known)) or 0

    # Delivering ──────────────────────────────────────────────────────────────

    async def claim(
        self, target: WorkspaceId, *, limit: int, max_bytes: int, kind: LeaseKind, owner: str, lease: timedelta
    ) -> list[QueuedMessage]:
        """Lease the next messages of a target: by priority, then in the order of acceptance.

        It leases up to `limit` messages of up to `max_bytes` together; the first one may be larger.
        """
        due = (
            sa.select(_M.id, _M.priority, _M.seq, _M.size)
            .where(_M.target_id == target, IS_QUEUED, _M.not_before <= _NOW, _NOT_EXPIRED)
            .order_by(_M.priority.desc(), _M.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        order = due.c.priority.desc(), due.c.seq
        summed = sa.select(
            due.c.id,
            sa.func.sum(due.c.size).over(order_by=order).label("total"),
            sa.func.row_number().over(order_by=order).label("place"),
        ).cte("summed")
        fits = sa.or_(summed.c.total <= max_bytes, summed.c.place == 1)
        values = {
            "state": MessageState.DISPATCHING.value,
            "lease_kind": kind.value,
            "lease_owner": owner,
            "lease_generation": _M.lease_generation + 1,
            "lease_expires_at": _NOW + lease,
            "dispatched_at": _NOW,
        }
        leased = sa.update(QUEUED_MESSAGES).where(_M.id == summed.c.id, fits).values(values)
        update = leased.returning(*_MESSAGE_COLUMNS)
        claimed = [_message_from_row(row) for row in await self._connection.execute(update)]
        claimed.sort(key=lambda message: (-message.priority, message.seq))
        await self._tell([Change(replace(message, state=MessageState.QUEUED), message) for message in claimed])
        return claimed

    async def renew(self, leases: Mapping[str, int], lease: timedelta) -> set[str]:
        """Prolong leases, given by message id and generation; returns the ids of those that are still held."""
        held = (
            sa.select(_M.id)
            .where(_M.id.in_(list(leases)), IS_DISPATCHING)
            .with_for_update(skip_locked=True)
            .cte("held")
        )
        given = _table(
            {"id": (sa.Uuid(as_uuid=False), list(leases)), "generation": (sa.BigInteger, list(leases.values()))}
        )
        update = (
            sa.update(QUEUED_MESSAGES)
            .where(_M.id == held.c.id, _M.id == given.c.id, _M.lease_generation == given.c.generation)
            .values(lease_expires_at=_NOW + lease)
            .returning(_M.id)
        )
        return set((await self._connection.scalars(update)).all())

    async def apply(self, changes: Sequence[Change]) -> list[Change]:
        """Store changes; returns those that took effect.

        A change takes no effect if the message has meanwhile another state, or another generation of its lease.
        """
        if not changes:
            return []
        await self._activity.lock()
        result = await self._connection.execute(_build_update([_row_from_change(change) for change in changes]))
        changed = {row.id for row in result}
        applied = [change for change in changes if change.after.id in changed]
        await self._release_room([change.before for change in applied if change.after.state not in HELD_STATES])
        await self._tell(applied)
        return applied

    async def notify(self) -> None:
        """Wake the drains of all replicas once this transaction is committed."""
        await self._connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))

    async def note_waiting(self, target: WorkspaceId, reason: WaitReason, error: str, *, limit: int) -> None:
        """Store why the messages of a target wait."""
        waiting = sa.select(_M.id).where(_M.target_id == target, IS_QUEUED, _M.last_error.is_distinct_from(error))
        chosen = waiting.limit(limit).with_for_update(skip_locked=True).cte("chosen")
        update = sa.update(QUEUED_MESSAGES).where(_M.id == chosen.c.id)
        await self._connection.execute(update.values(last_error=error, reason=reason.value))

    async def expedite(self, target: WorkspaceId, *, limit: int) -> None:
        """End the delays of the first messages of a target that had no room or gave no answer."""
        waiting = sa.select(_M.id).where(_M.target_id == target, IS_QUEUED, _M.not_before > _NOW)
        chosen = waiting.where(_M.reason.in_([WaitReason.BUSY.value, WaitReason.RETRY.value]))
        first = chosen.order_by(_M.priority.desc(), _M.seq).limit(limit)
        locked = first.with_for_update(skip_locked=True).cte("chosen")
        await self._connection.execute(sa.update(QUEUED_MESSAGES).where(_M.id == locked.c.id).values(not_before=_NOW))

    async def find_next_due(self, target: WorkspaceId, *, is_later: bool = False) -> timedelta | None:
        """Return the time until the next queued message of a target may be delivered; `None` without one.

        With `is_later` it ignores the messages that may be delivered already.
        """
        soonest = sa.select(sa.func.min(_M.not_before) - _NOW).where(_M.target_id == target, IS_QUEUED, _NOT_EXPIRED)
        if is_later:
            soonest = soonest.where(_M.not_before > _NOW)
        found: timedelta | None = await self._connection.scalar(soonest)
        return found

    async def list_waiting_targets(self) -> list[WorkspaceId]:
        """Return the targets with queued messages. It reads the index once for each target."""
        targets = await self._connection.scalars(activity_store.select_distinct(_M.target_id, IS_QUEUED))
        return [WorkspaceId(target) for target in targets]

    # Looking after ───────────────────────────────────────────────────────────

    async def lock_expired_leases(self, *, limit: int) -> list[QueuedMessage]:
        """Return messages whose lease has expired, without bodies, locked until the end of the transaction."""
        return await self._lock(_SELECT_WITHOUT_BODIES.where(IS_DISPATCHING, _M.lease_expires_at <= _NOW), limit=limit)

    async def lock_expired_messages(self, *, limit: int) -> list[QueuedMessage]:
        """Return queued messages whose time is over, without bodies, locked until the end of the transaction."""
        return await self._lock(_SELECT_WITHOUT_BODIES.where(IS_QUEUED, _M.expires_at <= _NOW), limit=limit)

    async def lock_message(self, id_: str) -> QueuedMessage | None:
        """Return one message, locked until the end of the transaction; waits for another one that holds it."""
        await self._activity.lock()
        row = (await self._connection.execute(_SELECT.where(_M.id == id_).with_for_update())).one_or_none()
        return None if row is None else _message_from_row(row)

    async def lock_each(self, ids: Sequence[str]) -> list[QueuedMessage]:
        """Return messages by their ids, locked until the end of the transaction; waits for others that hold them."""
        await self._activity.lock()
        query = _SELECT.where(_M.id.in_(list(ids))).order_by(_M.id).with_for_update()
        return [_message_from_row(row) for row in await self._connection.execute(query)]

    async def lock_messages(
        self,
        *,
        targets: Sequence[WorkspaceId] | None = None,
        states: frozenset[MessageState] | None = None,
        accepted_before: datetime | None = None,
        limit: int,
    ) -> list[QueuedMessage]:
        """Return the messages that meet every given condition, without bodies, and lock them as `lock_message` does."""
        query = _SELECT_WITHOUT_BODIES
        if targets is not None:
            query = query.where(_M.target_id.in_(list(targets)))
        if states is not None:
            query = query.where(_M.state.in_([state.value for state in states]))
        if accepted_before is not None:
            query = query.where(_M.accepted_at < accepted_before)
        return await self._lock(query, limit=limit)

    async def get(self, id_: str) -> QueuedMessage | None:
        """Return one message, if it is stored."""
        row = (await self._connection.execute(_SELECT.where(_M.id == id_))).one_or_none()
        return None if row is None else _message_from_row(row)

    async def list_messages(
        self,
        *,
        targets: Sequence[WorkspaceId] | None,
        states: Sequence[MessageState],
        before: int | None,
        limit: int,
    ) -> list[QueuedMessage]:
        """Return messages without their bodies, the newest first, from before the number `before`."""
        query = _SELECT_WITHOUT_BODIES
        if targets is not None:
            query = query.where(_M.target_id.in_(list(targets)))
        if states:
            query = query.where(_M.state.in_([state.value for state in states]))
        if before is not None:
            query = query.where(_M.seq < before)
        rows = await self._connection.execute(query.order_by(_M.seq.desc()).limit(min(limit, MAX_PAGE_ROWS)))
        return [_message_from_row(row) for row in rows]

    async def read_accounts(self, targets: Sequence[WorkspaceId] | None) -> list[Account]:
        """Return the accounts of targets, of all of them for `None`."""
        counts = sa.select(_M.target_id, _M.state, sa.func.count().label("total")).group_by(_M.target_id, _M.state)
        if targets is not None:
            counts = counts.where(_M.target_id.in_(list(targets)))
        counted = counts.subquery()
        # One statement reads both at the same moment, so it needs no lock.
        query = sa.select(QUEUE_TARGETS, counted.c.state, counted.c.total).outerjoin(
            counted, counted.c.target_id == _T.target_id
        )
        if targets is not None:
            query = query.where(_T.target_id.in_(list(targets)))
        rows: dict[str, sa.Row[Any]] = {}
        by_target: dict[str, dict[MessageState, int]] = {}
        for row in await self._connection.execute(query.order_by(_T.target_id)):
            rows[row.target_id] = row
            if row.state is not None:
                by_target.setdefault(row.target_id, {})[MessageState(row.state)] = row.total
        return [_account_from_row(row, by_target.get(id_, {})) for id_, row in rows.items()]

    async def count_held(self) -> dict[MessageState, int]:
        """Return how many messages of all targets are in each state in which they may still be delivered.

        It reads the rows of targets, and index entries of messages that are dispatched, dead or unknown. What a target
        holds besides them is queued.
        """
        stuck = (MessageState.DEAD, MessageState.UNKNOWN)
        counts = [_count_of_target(state).label(state.value) for state in stuck]
        each = sa.select(_T.held, *counts).where(_T.held > 0).subquery()
        sums = [sa.func.coalesce(sa.func.sum(column), 0) for column in each.c]
        dispatching = sa.select(sa.func.count()).select_from(QUEUED_MESSAGES).where(IS_DISPATCHING).scalar_subquery()
        row = (await self._connection.execute(sa.select(*sums, dispatching))).one()
        held, dead, unknown, sent = (int(value) for value in row)
        return {
            MessageState.QUEUED: held - dead - unknown - sent,
            MessageState.DISPATCHING: sent,
            MessageState.DEAD: dead,
            MessageState.UNKNOWN: unknown,
        }

    async def find_unbalanced(self) -> list[WorkspaceId]:
        """Return the targets whose accepted messages are not all in exactly one state.

        One statement sees one state of the database, so it needs no lock; it reads an index with all messages.
        """
        counts = sa.select(_M.target_id, sa.func.count().label("total")).group_by(_M.target_id).subquery()
        erased = sum(_ERASED.values(), start=sa.literal(0))
        query = (
            sa.select(_T.target_id)
            .select_from(sa.outerjoin(QUEUE_TARGETS, counts, counts.c.target_id == _T.target_id))
            .where(_T.accepted != sa.func.coalesce(counts.c.total, 0) + erased)
        )
        return [WorkspaceId(target) for target in await self._connection.scalars(query)]

    # Retention ───────────────────────────────────────────────────────────────

    async def forget_identities(self, *, limit: int) -> int:
        """Forget the ids of messages that ended long ago; returns how many."""
        old = sa.select(_M.id).where(_M.identity.is_not(None), _M.ended_at < _NOW - IDENTITY_LIFETIME)
        chosen = old.limit(limit).with_for_update(skip_locked=True).cte("chosen")
        update = sa.update(QUEUED_MESSAGES).where(_M.id == chosen.c.id).values(identity=None)
        return (await self._connection.execute(update)).rowcount

    async def erase_ended(self, *, age: timedelta, limit: int) -> int:
        """Delete messages that ended in a final state before `age`; returns how many. The accounts still count them."""
        old = sa.select(_M.id).where(_M.ended_at < _NOW - age, _M.state.not_in([s.value for s in HELD_STATES]))
        return await self._erase(old, limit=limit)

    async def erase_answers(self, target: WorkspaceId, *, limit: int) -> int:
        """Erase the oldest answers of a target; returns how many."""
        old = sa.select(_M.id).where(_M.target_id == target, sa.func.octet_length(_M.answer_body) > 0)
        chosen = old.order_by(_M.ended_at).limit(limit).with_for_update(skip_locked=True).cte("chosen")
        update = sa.update(QUEUED_MESSAGES).where(_M.id == chosen.c.id).values(answer_body=None)
        return (await self._connection.execute(update)).rowcount

    async def list_large_answers(self, max_bytes: int, *, limit: int) -> list[WorkspaceId]:
        """Return targets whose stored answers occupy more than `max_bytes` together."""
        size = sa.func.sum(sa.func.octet_length(_M.answer_body))
        query = sa.select(_M.target_id).where(_M.answer_body.is_not(None)).group_by(_M.target_id)
        return [WorkspaceId(id_) for id_ in await self._connection.scalars(query.having(size > max_bytes).limit(limit))]

    async def purge(self, workspace_id: WorkspaceId, *, limit: int) -> int:
        """Delete at most `limit` messages that a workspace received or sent; returns how many."""
        own = sa.or_(_M.target_id == workspace_id, _M.caller_id == workspace_id)
        erased = await self._erase(sa.select(_M.id).where(own), limit=limit)
        if erased < limit:
            await self._connection.execute(sa.delete(QUEUE_TARGETS).where(_T.target_id == workspace_id))
            await self._connection.execute(sa.delete(QUEUE_CALLERS).where(_C.caller_id == workspace_id))
        return erased

    async def list_workspaces(self) -> list[WorkspaceId]:
        """Return the workspaces that have received messages through the queue."""
        return [WorkspaceId(id_) for id_ in await self._connection.scalars(sa.select(_T.target_id))]

    # Private ─────────────────────────────────────────────────────────────────

    async def _find_identities(self, identities: Sequence[bytes]) -> dict[bytes, tuple[str, MessageState, bytes]]:
        """Return id, state and digest by identity, and forget the ones whose time is over."""
        if not identities:
            return {}
        over = sa.update(QUEUED_MESSAGES).where(
            _M.identity.in_(list(identities)), _M.ended_at < _NOW - IDENTITY_LIFETIME
        )
        await self._connection.execute(over.values(identity=None))
        found = sa.select(_M.identity, _M.id, _M.state, _M.digest).where(_M.identity.in_(list(identities)))
        rows = await self._connection.execute(found)
        return {row.identity: (row.id, MessageState(row.state), row.digest) for row in rows}

    async def _find_stored(self, ids: Sequence[str]) -> set[str]:
        return set((await self._connection.scalars(sa.select(_M.id).where(_M.id.in_(list(ids))))).all())

    async def _read_targets(self, ids: set[WorkspaceId]) -> dict[WorkspaceId, Usage]:
        query = sa.select(_T.target_id, _T.held, _T.held_bytes).where(_T.target_id.in_(sorted(ids)))
        rows = await self._connection.execute(query)
        return {WorkspaceId(row.target_id): Usage(messages=row.held, size=row.held_bytes) for row in rows}

    async def _read_callers(self, ids: set[WorkspaceId]) -> dict[WorkspaceId, Usage]:
        if not ids:
            return {}
        rows = await self._connection.execute(sa.select(QUEUE_CALLERS).where(_C.caller_id.in_(sorted(ids))))
        return {WorkspaceId(row.caller_id): Usage(messages=row.held) for row in rows}

    async def _insert(self, messages: Sequence[NewMessage]) -> None:
        if not messages:
            return
        columns: dict[str, list[Any]] = {name: [] for name in (*_INSERTED, "expires_in", "not_before_in")}
        for message in messages:
            for name, value in _row_from_new(message).items():
                columns[name].append(value)
        await _INSERT.execute(self._connection, columns)
        targets, callers = _count_by_target(messages), _count_by_caller(messages)
        await _ADD_TO_TARGETS.execute(self._connection, targets)
        if callers["caller_id"]:
            await _ADD_TO_CALLERS.execute(self._connection, callers)

    async def _release_room(self, ended: Sequence[QueuedMessage]) -> None:
        """Subtract messages that will not be delivered any more from what the queue holds."""
        if not ended:
            return
        sizes: dict[str, tuple[int, int]] = {}
        senders: dict[str, int] = {}
        for message in ended:
            count, size = sizes.get(message.target_id, (0, 0))
            sizes[message.target_id] = count + 1, size + message.size
            if message.caller_id:
                senders[message.caller_id] = senders.get(message.caller_id, 0) + 1
        freed = _table(
            {
                "id": (sa.Uuid(as_uuid=False), list(sizes)),
                "count": (sa.BigInteger, [count for count, _ in sizes.values()]),
                "size": (sa.BigInteger, [size for _, size in sizes.values()]),
            }
        )
        values = {"held": _T.held - freed.c.count, "held_bytes": _T.held_bytes - freed.c.size}
        await self._connection.execute(sa.update(QUEUE_TARGETS).where(_T.target_id == freed.c.id).values(values))
        await self._release_callers(senders)

    async def _release_callers(self, senders: Mapping[str, int]) -> None:
        """Subtract messages from what the queue holds of their senders."""
        if not senders:
            return
        sent = _table({"id": (sa.Uuid(as_uuid=False), list(senders)), "count": (sa.BigInteger, list(senders.values()))})
        update = sa.update(QUEUE_CALLERS).where(_C.caller_id == sent.c.id).values(held=_C.held - sent.c.count)
        await self._connection.execute(update)

    async def _tell(self, changes: Sequence[Change]) -> None:
        if changes:
            for observer in self._observers:
                await observer(self._connection, changes)

    async def _lock(self, query: sa.Select[Any], *, limit: int) -> list[QueuedMessage]:
        await self._activity.lock()
        rows = await self._connection.execute(query.order_by(_M.seq).limit(limit).with_for_update(skip_locked=True))
        return [_message_from_row(row) for row in rows]

    async def _erase(self, ids: sa.Select[Any], *, limit: int) -> int:
        """Delete messages, and count them as erased."""
        await self._activity.lock()
        chosen = ids.limit(limit).with_for_update(skip_locked=True).cte("chosen")
        deleted = sa.delete(QUEUED_MESSAGES).where(_M.id == chosen.c.id)
        rows = await self._connection.execute(deleted.returning(_M.target_id, _M.caller_id, _M.state, _M.size))
        gone = rows.all()
        for target, state, count, held, size in _count_erased(gone):
            column = _ERASED.get(state, _T.erased_dropped)
            update = sa.update(QUEUE_TARGETS).where(_T.target_id == target)
            values = {column.name: column + count, "held": _T.held - held, "held_bytes": _T.held_bytes - size}
            await self._connection.execute(update.values(values))
        senders = Counter(row.caller_id for row in gone if row.caller_id and MessageState(row.state) in HELD_STATES)
        await self._release_callers(senders)
        return len(gone)


class QueueStore:
    """Opens transactions on the queue."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._observers: list[Observer] = []

    def add_observer(self, observer: Observer) -> None:
        """Call `observer` with every change, in the transaction that makes it."""
        self._observers.append(observer)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[QueueTransaction]:
        """Open a transaction; it is committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            yield QueueTransaction(connection, self._observers)


def _count_of_target(state: MessageState) -> sa.ScalarSelect[int]:
    """Build the count of a target's messages in a state, for a query of targets; it reads one range of an index."""
    count = sa.select(sa.func.count()).where(_M.target_id == _T.target_id, _M.state == state.value)
    return count.correlate(QUEUE_TARGETS).scalar_subquery()


def _add(usage: Usage, size: int) -> Usage:
    return Usage(messages=usage.messages + 1, size=usage.size + size)


def _table(columns: Mapping[str, tuple[Any, Sequence[Any]]]) -> Any:  # noqa: ANN401 - a table of SQLAlchemy has no public type
    """Return arrays, one for each column, as a table."""
    arrays = [sa.literal(list(values), ARRAY(type_)) for type_, values in columns.values()]
    types = [sa.column(name, type_) for name, (type_, _) in columns.items()]
    return sa.func.unnest(*arrays).table_valued(*types, name="given").render_derived()


def _row_from_new(message: NewMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "target_id": message.target_id,
        "caller_id": message.caller_id,
        "caller_label": message.caller_label,
        "identity": message.identity,
        "digest": message.digest,
        "method": message.method,
        "headers": strict_json.dump(dict(message.headers)).decode(),
        "body": message.body,
        "size": measure(message),
        "is_idempotent": message.is_idempotent,
        "is_logged": message.is_logged,
        "priority": message.priority,
        "reason": message.reason.value,
        "attempts": _dump_attempts(message.attempts),
        "expires_in": message.expires_in,
        "not_before_in": message.not_before_in,
    }


def _row_from_change(change: Change) -> dict[str, Any]:
    before, after = change.before, change.after
    return {
        "id": after.id,
        "known_state": before.state.value,
        "known_generation": before.lease_generation,
        "keeps_body": after.state in HELD_STATES,
        **{name: _to_column(getattr(after, name)) for name in _CHANGED},
        "attempts": _dump_attempts(after.attempts),
        "answer_headers": strict_json.dump(dict(after.answer_headers)).decode(),
    }


def _to_column(value: object) -> object:
    return value.value if isinstance(value, MessageState | Result | WaitReason | LeaseKind) else value


def _build_update(rows: Sequence[Mapping[str, Any]]) -> sa.Update:
    """Build one statement for any number of changes, where each column is one array parameter."""
    types = {column.name: column.type for column in QUEUED_MESSAGES.c} | {
        "known_state": sa.Text(),
        "known_generation": sa.BigInteger(),
        "keeps_body": sa.Boolean(),
    }
    given = _table({name: (types[name], [row[name] for row in rows]) for name in rows[0]})
    values = {name: given.c[name] for name in (*_CHANGED, "attempts", "answer_headers")}
    body = sa.case((given.c.keeps_body, _M.body), else_=_EMPTY)
    return (
        sa.update(QUEUED_MESSAGES)
        .where(
            _M.id == given.c.id,
            _M.state == given.c.known_state,
            _M.lease_generation == given.c.known_generation,
        )
        .values(body=body, **values)
        .returning(_M.id)
    )


def _message_from_row(row: sa.Row[Any]) -> QueuedMessage:
    values = dict(row._mapping)  # noqa: SLF001 - the name is public in spite of its underscore
    return QueuedMessage(
        **values
        | {
            "headers": strict_json.parse(values["headers"].encode()),
            "state": MessageState(values["state"]),
            "result": Result(values["result"]) if values["result"] else None,
            "reason": WaitReason(values["reason"]),
            "lease_kind": LeaseKind(values["lease_kind"]) if values["lease_kind"] else None,
            "answer_headers": strict_json.parse((values["answer_headers"] or "{}").encode()),
            "attempts": _parse_attempts(values["attempts"]),
        }
    )


def _dump_attempts(attempts: Sequence[Attempt]) -> str:
    rows = [
        {"at": attempt.at.isoformat(), "generation": attempt.generation, "outcome": attempt.outcome}
        | ({"error": attempt.error} if attempt.error else {})
        for attempt in attempts
    ]
    return strict_json.dump(rows).decode()


def _parse_attempts(text: str) -> tuple[Attempt, ...]:
    if text == "[]":
        return ()
    return tuple(
        Attempt(
            at=datetime.fromisoformat(row["at"]),
            generation=row["generation"],
            outcome=row["outcome"],
            error=row.get("error", ""),
        )
        for row in strict_json.parse(text.encode())
    )


def _account_from_row(row: sa.Row[Any], counts: Mapping[MessageState, int]) -> Account:
    erased = {state: getattr(row, column.name) for state, column in _ERASED.items()}
    return Account(
        target_id=WorkspaceId(row.target_id),
        accepted=row.accepted,
        counts={state: counts.get(state, 0) + erased.get(state, 0) for state in MessageState},
    )


def _count_by_target(messages: Sequence[NewMessage]) -> dict[str, list[Any]]:
    counts: dict[str, tuple[int, int]] = {}
    for message in messages:
        count, size = counts.get(message.target_id, (0, 0))
        counts[message.target_id] = count + 1, size + measure(message)
    return {
        "target_id": list(counts),
        "held": [count for count, _ in counts.values()],
        "held_bytes": [size for _, size in counts.values()],
    }


def _count_by_caller(messages: Sequence[NewMessage]) -> dict[str, list[Any]]:
    counts: dict[str, int] = {}
    for message in messages:
        if message.caller_id:
            counts[message.caller_id] = counts.get(message.caller_id, 0) + 1
    return {"caller_id": list(counts), "held": list(counts.values())}


def _count_erased(rows: Sequence[sa.Row[Any]]) -> list[tuple[str, MessageState, int, int, int]]:
    """Return target, state, count, and the count and bytes of those that the queue held."""
    counts: dict[tuple[str, MessageState], tuple[int, int]] = {}
    for row in rows:
        key = row.target_id, MessageState(row.state)
        count, size = counts.get(key, (0, 0))
        counts[key] = count + 1, size + row.size
    return [
        (target, state, count, count if state in HELD_STATES else 0, size if state in HELD_STATES else 0)
        for (target, state), (count, size) in counts.items()
    ]


def _build_insert() -> CompiledStatement:
    """Build one statement for any number of messages, where each column is one array parameter."""
    intervals = ("expires_in", "not_before_in")
    types: dict[str, Any] = {name: QUEUED_MESSAGES.c[name].type for name in _INSERTED}
    types |= {name: sa.Interval() for name in intervals}
    arrays = [sa.bindparam(name, type_=ARRAY(type_)) for name, type_ in types.items()]
    rows: Any = sa.func.unnest(*arrays).table_valued(*types, name="rows", with_ordinality="place").render_derived()
    constants = {
        "state": sa.literal_column("'queued'"),
        "failures": sa.literal_column("0"),
        "busy_answers": sa.literal_column("0"),
        "lease_generation": sa.literal_column("0"),
        "accepted_at": _NOW,
        "not_before": _NOW + rows.c.not_before_in,
        "expires_at": _NOW + rows.c.expires_in,
    }
    selected = sa.select(*(rows.c[name] for name in _INSERTED), *constants.values()).order_by(rows.c.place)
    return CompiledStatement(sa.insert(QUEUED_MESSAGES).from_select([*_INSERTED, *constants], selected))


def _build_addition(table: sa.Table, key: str, added: Sequence[str], zeros: Sequence[str] = ()) -> CompiledStatement:
    """Build a statement that adds to the counters of any number of rows, which it creates where they are missing."""
    types = {name: table.c[name].type for name in (key, *(name for name in added if name != "accepted"))}
    arrays = [sa.bindparam(name, type_=ARRAY(type_)) for name, type_ in types.items()]
    rows: Any = sa.func.unnest(*arrays).table_valued(*types, name="rows").render_derived()
    values = {key: rows.c[key]} | {name: rows.c["held" if name == "accepted" else name] for name in added}
    values |= {name: sa.literal_column("0") for name in zeros}
    upsert = insert(table).from_select(list(values), sa.select(*values.values()))
    sums = {name: table.c[name] + upsert.excluded[name] for name in added}
    return CompiledStatement(upsert.on_conflict_do_update(index_elements=[key], set_=sums))


_NOW: sa.ColumnElement[datetime] = sa.func.statement_timestamp()

_EMPTY: sa.ColumnElement[bytes] = sa.literal_column("''::bytea")

_NOT_EXPIRED = sa.or_(_M.expires_at.is_(None), _M.expires_at > _NOW)

_MESSAGE_COLUMNS = tuple(QUEUED_MESSAGES.c[field.name] for field in fields(QueuedMessage))

_SELECT = sa.select(*_MESSAGE_COLUMNS)

_SELECT_WITHOUT_BODIES = sa.select(
    *(column for column in _MESSAGE_COLUMNS if column.name not in {"body", "answer_body"}),
    _EMPTY.label("body"),
    sa.literal_column("NULL::bytea").label("answer_body"),
)

_ERASED = {
    MessageState.COMPLETED: _T.erased_completed,
    MessageState.EXPIRED: _T.erased_expired,
    MessageState.DROPPED: _T.erased_dropped,
}
"""The counters of erased messages. One that might still have been delivered counts as dropped."""

_INSERTED = (
    "id",
    "target_id",
    "caller_id",
    "caller_label",
    "identity",
    "digest",
    "method",
    "headers",
    "body",
    "size",
    "is_idempotent",
    "is_logged",
    "priority",
    "reason",
    "attempts",
)

_CHANGED = (
    "state",
    "result",
    "reason",
    "failures",
    "busy_answers",
    "not_before",
    "ended_at",
    "lease_kind",
    "lease_owner",
    "lease_expires_at",
    "last_error",
    "answer_status",
    "answer_body",
)
"""The columns that a change writes, besides the JSON texts and the body."""

_INSERT = _build_insert()

_ADD_TO_TARGETS = _build_addition(
    QUEUE_TARGETS, "target_id", ("accepted", "held", "held_bytes"), [column.name for column in _ERASED.values()]
)

_ADD_TO_CALLERS = _build_addition(QUEUE_CALLERS, "caller_id", ("held",))
