"""Deletes messages and answers. The accounts go on counting the deleted messages."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import HELD_STATES
from services.a2a_proxy.queue.store.connection import QueueConnection
from services.a2a_proxy.queue.store.statements import NOW
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES

_M = QUEUED_MESSAGES.c


class RetentionWriter(QueueConnection):
    """Deletes messages and answers."""

    async def erase_ended(self, *, age: timedelta, limit: int) -> int:
        """Delete messages that ended in a final state before `age`; returns how many. The accounts still count them."""
        old = sa.select(_M.id).where(_M.ended_at < NOW - age, _M.state.not_in([s.value for s in HELD_STATES]))
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
            await self._counters.delete(workspace_id)
        return erased

    async def _erase(self, ids: sa.Select[Any], *, limit: int) -> int:
        """Delete messages, and count them as erased."""
        await self._lock_writer()
        chosen = ids.limit(limit).with_for_update(skip_locked=True).cte("chosen")
        deleted = sa.delete(QUEUED_MESSAGES).where(_M.id == chosen.c.id)
        rows = await self._connection.execute(deleted.returning(_M.target_id, _M.caller_id, _M.state, _M.size))
        gone = rows.all()
        await self._counters.count_erased(gone)
        return len(gone)
