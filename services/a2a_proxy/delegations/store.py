"""Transactions on delegations, which share their connection with the queue, the activity and the outbox of events.

Locks are taken in one order, so no two transactions wait for each other: the writer lock of the activity, then rows of
messages, then rows of delegations. Every transaction here takes the writer lock first, except the one that claims
messages, and that one writes only the delegations of the messages that it holds.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.a2a_proxy import store as activity_store
from services.a2a_proxy.delegations.lineage_token import KEY_BYTES
from services.a2a_proxy.delegations.model import Delegation
from services.a2a_proxy.delegations.tables import (
    COLUMNS,
    DELEGATIONS,
    IS_OPEN,
    LINEAGE_KEYS,
    delegation_from_row,
    row_from_delegation,
)
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import Change
from services.a2a_proxy.queue.store.transaction import QueueStore, QueueTransaction
from services.a2a_proxy.stored_events.store import StoredEvents

_D = DELEGATIONS.c

KEY_ID = 1
"""The id of the only row of keys."""


@dataclass(slots=True)
class KeyCache:
    """The key of the lineage tokens, once it is known to be committed."""

    key: bytes | None = None


class DelegationTransaction:
    """One transaction on delegations, with their messages, activity rows and events."""

    def __init__(self, queue: QueueTransaction, connection: AsyncConnection, keys: KeyCache | None = None) -> None:
        self.queue = queue
        self._keys = keys or KeyCache()
        self.activity = activity_store.Transaction(connection)
        self.events = StoredEvents(connection)
        self._connection = connection

    async def lock(self) -> None:
        """Let no other transaction accept, end or change the lineage of delegations until this one ends."""
        await self.activity.lock()

    async def get_key(self) -> bytes:
        """Return the key of the lineage tokens; under the writer lock the first caller creates it."""
        if self._keys.key is None:
            known = sa.select(LINEAGE_KEYS.c.key).where(LINEAGE_KEYS.c.id == KEY_ID)
            self._keys.key = await self._connection.scalar(known)
        if self._keys.key is not None:
            return self._keys.key
        key = os.urandom(KEY_BYTES)
        await self._connection.execute(sa.insert(LINEAGE_KEYS).values(id=KEY_ID, key=key))
        return key

    # Reading ─────────────────────────────────────────────────────────────────

    async def find(self, id_: str) -> Delegation | None:
        """Return the delegation with an id."""
        return await self._read_one(_D.id == id_)

    async def find_public(self, workspace_id: WorkspaceId, delegation_id: str) -> Delegation | None:
        """Return the delegation of a source by its public id, or the one that the plane made for a target."""
        own = await self._read_one(_D.source_id == workspace_id, _D.delegation_id == delegation_id)
        if own is not None:
            return own
        is_same = sa.cast(_D.id, sa.Text) == delegation_id
        return await self._read_one(_D.target_id == workspace_id, is_same, sa.not_(_D.is_recorded))

    async def find_own(self, source: WorkspaceId, delegation_id: str) -> Delegation | None:
        """Return the delegation of a source by its public id."""
        return await self._read_one(_D.source_id == source, _D.delegation_id == delegation_id)

    async def find_earlier(self, source: WorkspaceId, id_: str, key: str) -> Delegation | None:
        """Return the delegation of a source with an id, or else the one that was made with an idempotency key."""
        same = _D.id == id_
        known = sa.or_(same, _D.idempotency_key == key) if key else same
        found = await self._read(_D.source_id == source, known, order=[same.desc()], limit=1)
        return found[0] if found else None

    async def list_above(self, delegation: Delegation) -> list[Delegation]:
        """Return the stored ancestors of a delegation, from the root on."""
        if not delegation.ancestors:
            return []
        return await self._read(_D.id.in_(delegation.ancestors), order=[_D.depth])

    async def list_incoming(self, target: WorkspaceId, *, limit: int) -> list[Delegation]:
        """Return the open delegations that a workspace has received: it is at work, or may read its inbox."""
        received = sa.or_(_D.is_at_work, _D.via_inbox)
        return await self._read(_D.target_id == target, IS_OPEN, sa.not_(_D.is_recorded), received, limit=limit)

    async def list_newest(self, source: WorkspaceId, *, limit: int) -> list[Delegation]:
        """Return the delegations of a source whose request or result is among the newest, the newest first."""
        newest = sa.func.coalesce(_D.result_at, _D.created_at)
        return await self._read(_D.source_id == source, order=[newest.desc(), _D.id], limit=limit)

    async def count_open(self, source: WorkspaceId, *, limit: int) -> int:
        """Return how many delegations of a source are open, at most `limit`."""
        found = sa.select(_D.id).where(_D.source_id == source, IS_OPEN).limit(limit).subquery()
        return await self._connection.scalar(sa.select(sa.func.count()).select_from(found)) or 0

    async def list_due(self, *, limit: int) -> list[Delegation]:
        """Return open delegations whose deadline has passed, the earliest first."""
        now = sa.func.statement_timestamp()
        return await self._read(IS_OPEN, _D.deadline <= now, order=[_D.deadline], limit=limit)

    async def list_open_of(self, workspace_id: WorkspaceId, *, limit: int) -> list[Delegation]:
        """Return the open delegations from or to a workspace."""
        return await self._read(
            sa.or_(_D.source_id == workspace_id, _D.target_id == workspace_id), IS_OPEN, limit=limit
        )

    async def list_unfollowed(self, *, limit: int) -> list[Delegation]:
        """Return open delegations whose agent works on a task for whose state nothing asks."""
        return await self._read(IS_OPEN, _D.task_id.is_not(None), _D.follow_up_id.is_(None), limit=limit)

    async def list_workspaces(self) -> list[WorkspaceId]:
        """Return the sources and targets of delegations."""
        found = sa.union(sa.select(_D.source_id), sa.select(_D.target_id))
        return [WorkspaceId(id_) for id_ in await self._connection.scalars(found)]

    async def list_open_below(self, delegations: Sequence[Delegation]) -> list[Delegation]:
        """Return the open delegations below the given ones, which are not among the result."""
        ids = sa.literal([delegation.id for delegation in delegations], ARRAY(sa.Uuid(as_uuid=False)))
        roots = {delegation.root_id for delegation in delegations}
        return await self._read(_D.root_id.in_(roots), IS_OPEN, _D.ancestors.overlap(ids))

    async def find_followed(self, ids: Sequence[str]) -> dict[str, Delegation]:
        """Return the delegations whose task these messages ask for, by message, locked."""
        found = await self._read(_D.follow_up_id.in_(list(ids)), lock=True)
        return {delegation.follow_up_id or "": delegation for delegation in found}

    # Writing ─────────────────────────────────────────────────────────────────

    async def lock_delegations(self, ids: Sequence[str]) -> list[Delegation]:
        """Lock delegations, and return them as they are now."""
        return await self._read(_D.id.in_(list(ids)), lock=True)

    async def insert(self, delegation: Delegation) -> None:
        """Insert a new delegation."""
        await self._connection.execute(sa.insert(DELEGATIONS).values(row_from_delegation(delegation)))

    async def update(self, delegation: Delegation) -> None:
        """Store a locked delegation. What is reserved and spent below it is stored by `reserve` and `settle` alone."""
        row = {name: value for name, value in row_from_delegation(delegation).items() if name in _CHANGED}
        await self._connection.execute(sa.update(DELEGATIONS).where(_D.id == delegation.id).values(row))

    async def release_key(self, delegation: Delegation) -> None:
        """Let the idempotency key of a delegation be used again."""
        update = sa.update(DELEGATIONS).where(_D.id == delegation.id)
        await self._connection.execute(update.values(idempotency_key=None))

    async def reserve(self, parent_id: str, amount: int) -> None:
        """Reserve a part of the budget of a delegation, if it has one."""
        update = sa.update(DELEGATIONS).where(_D.id == parent_id, _D.budget.is_not(None))
        await self._connection.execute(update.values(reserved=_D.reserved + amount))

    async def settle(self, parent_id: str, *, reserved: int, spent: int) -> None:
        """Replace a reserved part of the budget of a delegation by what was spent of it."""
        update = sa.update(DELEGATIONS).where(_D.id == parent_id, _D.budget.is_not(None))
        await self._connection.execute(update.values(reserved=_D.reserved - reserved, spent=_D.spent + spent))

    # Erasing ─────────────────────────────────────────────────────────────────

    async def erase_ended_before(self, moment: datetime, *, limit: int) -> int:
        """Erase delegations that ended before `moment`; returns how many."""
        return await self._erase(_D.ended_at < moment, limit=limit)

    async def erase_of(self, workspace_id: WorkspaceId, *, limit: int) -> int:
        """Erase the delegations from and to a workspace; returns how many."""
        return await self._erase(sa.or_(_D.source_id == workspace_id, _D.target_id == workspace_id), limit=limit)

    async def erase_surplus(self, source: WorkspaceId, *, kept: int) -> None:
        """Erase the ended delegations of a source that are not among its newest."""
        ended = sa.select(_D.id).where(_D.source_id == source, _D.ended_at.is_not(None))
        surplus = ended.order_by(_D.created_at.desc(), _D.id).offset(kept)
        await self._connection.execute(sa.delete(DELEGATIONS).where(_D.id.in_(surplus)))

    async def _erase(self, condition: sa.ColumnElement[bool], *, limit: int) -> int:
        chosen = sa.select(_D.id).where(condition).limit(limit).with_for_update(skip_locked=True)
        deleted = await self._connection.execute(sa.delete(DELEGATIONS).where(_D.id.in_(chosen)))
        return deleted.rowcount

    async def _read_one(self, *conditions: sa.ColumnElement[bool]) -> Delegation | None:
        found = await self._read(*conditions, limit=1)
        return found[0] if found else None

    async def _read(
        self,
        *conditions: sa.ColumnElement[bool],
        order: Sequence[Any] = (_D.id,),
        limit: int | None = None,
        lock: bool = False,
    ) -> list[Delegation]:
        query = sa.select(*(_D[name] for name in COLUMNS)).where(*conditions).order_by(*order).limit(limit)
        rows = await self._connection.execute(query.with_for_update() if lock else query)
        return [delegation_from_row(row) for row in rows]


Follow = Callable[[DelegationTransaction, Sequence[Change]], Awaitable[None]]
"""Receives changes of messages, in the transaction that makes them."""


class DelegationStore:
    """Opens transactions on delegations."""

    def __init__(self, queue: QueueStore) -> None:
        self._queue = queue
        self._turn = asyncio.Lock()
        self._keys = KeyCache()

    @asynccontextmanager
    async def begin_writing(self) -> AsyncIterator[DelegationTransaction]:
        """Open a transaction that holds the writer lock; it is committed at the end of the block.

        One at a time in this process: those that wait for the lock hold no connection, of which others need one.
        """
        async with self._turn, self.begin() as tx:
            await tx.lock()
            yield tx

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[DelegationTransaction]:
        """Open a transaction; it is committed at the end of the block."""
        async with self._queue.begin() as tx:
            yield DelegationTransaction(tx, tx.connection, self._keys)

    def follow_messages(self, follow: Follow) -> None:
        """Call `follow` with every change of a message."""

        async def observe(connection: AsyncConnection, changes: Sequence[Change]) -> None:
            await follow(DelegationTransaction(QueueTransaction(connection), connection), changes)

        self._queue.add_observer(observe)


_CHANGED = frozenset(
    {
        "status",
        "result_at",
        "ended_at",
        "is_at_work",
        "was_busy",
        "task_id",
        "follow_up_id",
        "follow_ups",
        "text",
        "error",
    }
)
"""The columns that a change of a delegation writes."""
