"""Reads messages, and locks them until the end of the transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import MessageState, QueuedMessage
from services.a2a_proxy.queue.store.connection import QueueConnection
from services.a2a_proxy.queue.store.rows import message_from_row
from services.a2a_proxy.queue.store.statements import NOW, SELECT, SELECT_WITHOUT_BODIES
from services.a2a_proxy.queue.tables import IS_DISPATCHING, IS_QUEUED, QUEUED_MESSAGES

MAX_PAGE_ROWS = 500
"""Rows of the largest page."""

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
        query = SELECT_WITHOUT_BODIES
        if targets is not None:
            query = query.where(_M.target_id.in_(list(targets)))
        if states:
            query = query.where(_M.state.in_([state.value for state in states]))
        if before is not None:
            query = query.where(_M.seq < before)
        rows = await self._connection.execute(query.order_by(_M.seq.desc()).limit(min(limit, MAX_PAGE_ROWS)))
        return [message_from_row(row) for row in rows]

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
        states: frozenset[MessageState] | None = None,
        accepted_before: datetime | None = None,
        limit: int,
    ) -> list[QueuedMessage]:
        """Return the messages that meet every given condition, without bodies, and lock them as `lock_message` does."""
        query = SELECT_WITHOUT_BODIES
        if targets is not None:
            query = query.where(_M.target_id.in_(list(targets)))
        if states is not None:
            query = query.where(_M.state.in_([state.value for state in states]))
        if accepted_before is not None:
            query = query.where(_M.accepted_at < accepted_before)
        return await self._lock(query, limit=limit)

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
