"""Reads messages, and locks them until the end of the transaction."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import STUCK_STATES, MessageState, QueuedMessage
from services.a2a_proxy.queue.store.connection import QueueConnection
from services.a2a_proxy.queue.store.ranges import (
    MAX_SEQ,
    NEWEST_FIRST,
    OLDEST_FIRST,
    RANGED,
    build_held_ranges,
    build_ranges,
    is_in_range,
)
from services.a2a_proxy.queue.store.rows import message_from_row
from services.a2a_proxy.queue.store.statements import NOW, SELECT, SELECT_WITHOUT_BODIES, select_without_bodies
from services.a2a_proxy.queue.tables import IS_DISPATCHING, IS_QUEUED, IS_STUCK, QUEUED_MESSAGES

MAX_PAGE_ROWS = 500
"""Rows of the largest page."""

MAX_RANGES = 256
"""Ranges of which one page is merged. The messages of more targets are found soon among all others."""

_M = QUEUED_MESSAGES.c


class MessageQueries(QueueConnection):
    """Reads and locks messages."""

    async def get(self, id_: str) -> QueuedMessage | None:
        """Return one message, if it is stored."""
        row = (await self._connection.execute(SELECT.where(_M.id == id_))).one_or_none()
        return None if row is None else message_from_row(row)

    async def list_messages(
        self,
        *,
        targets: Sequence[WorkspaceId] | None,
        states: Sequence[MessageState],
        before: int | None,
        limit: int,
    ) -> list[QueuedMessage]:
        """Return messages without their bodies, the newest first, from before the number `before`."""
        limit = min(limit, MAX_PAGE_ROWS)
        query = SELECT_WITHOUT_BODIES.order_by(_M.seq.desc()).limit(limit)
        if targets is not None and len(targets) * len(states or MessageState) <= MAX_RANGES:
            newest = _select_newest(targets, states or MessageState, before, limit).scalar_subquery()
            query = query.where(_M.seq == sa.any_(sa.func.array(newest)))  # as an array it is read first, and once
            return [message_from_row(row) for row in await self._connection.execute(query)]
        if targets is not None:
            query = query.where(_M.target_id.in_(list(targets)))
        if states:
            query = query.where(_M.state.in_([state.value for state in states]))
        if states and STUCK_STATES.issuperset(states):
            query = query.where(IS_STUCK)
        if before is not None:
            query = query.where(_M.seq < before)
        return [message_from_row(row) for row in await self._connection.execute(query)]

    async def lock_message(self, id_: str) -> QueuedMessage | None:
        """Return one message, locked until the end of the transaction; waits for another one that holds it."""
        await self._lock_writer()
        row = (await self._connection.execute(SELECT.where(_M.id == id_).with_for_update())).one_or_none()
        return None if row is None else message_from_row(row)

    async def lock_each(self, ids: Sequence[str]) -> list[QueuedMessage]:
        """Return messages by their ids, locked until the end of the transaction; waits for others that hold them."""
        await self._lock_writer()
        query = SELECT.where(_M.id.in_(list(ids))).order_by(_M.id).with_for_update()
        return [message_from_row(row) for row in await self._connection.execute(query)]

    async def lock_messages(
        self,
        *,
        targets: Sequence[WorkspaceId] | None = None,
        states: Collection[MessageState],
        accepted_before: datetime | None = None,
        limit: int,
    ) -> list[QueuedMessage]:
        """Return messages without bodies in some of HELD_STATES, and lock them as `lock_message` does.

        Messages that other transactions hold are left out.
        """
        await self._lock_writer()
        ranges = build_held_ranges(states) if targets is None else build_ranges(targets, states)
        query = select_without_bodies(RANGED).where(is_in_range(ranges))
        if accepted_before is not None:
            query = query.where(RANGED.c.accepted_at < accepted_before)
        found = query.order_by(*OLDEST_FIRST).limit(limit).with_for_update(skip_locked=True).lateral("found")
        rows = await self._connection.execute(sa.select(found).select_from(ranges.join(found, sa.true())).limit(limit))
        return [message_from_row(row) for row in rows]

    async def lock_expired_leases(self, *, limit: int) -> list[QueuedMessage]:
        """Return messages whose lease has expired, without bodies, locked until the end of the transaction."""
        return await self._lock(SELECT_WITHOUT_BODIES.where(IS_DISPATCHING, _M.lease_expires_at <= NOW), limit=limit)

    async def lock_expired_messages(self, *, limit: int) -> list[QueuedMessage]:
        """Return queued messages whose time is over, without bodies, locked until the end of the transaction."""
        return await self._lock(SELECT_WITHOUT_BODIES.where(IS_QUEUED, _M.expires_at <= NOW), limit=limit)

    async def _lock(self, query: sa.Select[Any], *, limit: int) -> list[QueuedMessage]:
        await self._lock_writer()
        rows = await self._connection.execute(query.order_by(_M.seq).limit(limit).with_for_update(skip_locked=True))
        return [message_from_row(row) for row in rows]


def _select_newest(
    targets: Sequence[WorkspaceId], states: Iterable[MessageState], before: int | None, limit: int
) -> sa.Select[tuple[int]]:
    """Select the numbers of the newest messages of targets in these states."""
    ranges = build_ranges(targets, states)
    is_listed = is_in_range(ranges, before=MAX_SEQ if before is None else before)
    found = sa.select(RANGED.c.seq).where(is_listed).order_by(*NEWEST_FIRST).limit(limit).lateral("found")
    newest = sa.select(found.c.seq).select_from(ranges.join(found, sa.true()))
    return newest.order_by(found.c.seq.desc()).limit(limit)
