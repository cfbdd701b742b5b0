"""Claims messages for delivery, renews their leases, and stores what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.activity_rows import build_end_row
from services.a2a_proxy.queue.model import (
    HELD_STATES,
    UNDELIVERED_STATES,
    Change,
    LeaseKind,
    MessageState,
    QueuedMessage,
)
from services.a2a_proxy.queue.store.connection import QueueConnection
from services.a2a_proxy.queue.store.rows import message_from_row, row_from_change
from services.a2a_proxy.queue.store.statements import IS_NOT_EXPIRED, MESSAGE_COLUMNS, NOW, build_update
from services.a2a_proxy.queue.tables import IS_DISPATCHING, IS_QUEUED, QUEUED_MESSAGES
from services.a2a_proxy.store import build_array_table

_M = QUEUED_MESSAGES.c


class LeaseWriter(QueueConnection):
    """Leases messages, and changes those that are leased or locked."""

    async def claim(
        self, target: WorkspaceId, *, limit: int, max_bytes: int, kind: LeaseKind, owner: str, lease: timedelta
    ) -> list[QueuedMessage]:
        """Lease the next messages of a target: by priority, then in the order of acceptance.

        It leases up to `limit` messages of up to `max_bytes` together; the first one may be larger.
        """
        due = (
            sa.select(_M.id, _M.priority, _M.seq, _M.size)
            .where(_M.target_id == target, IS_QUEUED, _M.not_before <= NOW, IS_NOT_EXPIRED)
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
            "lease_expires_at": NOW + lease,
            "dispatched_at": NOW,
        }
        leased = sa.update(QUEUED_MESSAGES).where(_M.id == summed.c.id, fits).values(values)
        update = leased.returning(*MESSAGE_COLUMNS)
        claimed = [message_from_row(row) for row in await self._connection.execute(update)]
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
        given = build_array_table(
            {"id": sa.Uuid(as_uuid=False), "generation": sa.BigInteger()},
            {"id": list(leases), "generation": list(leases.values())},
        )
        update = (
            sa.update(QUEUED_MESSAGES)
            .where(_M.id == held.c.id, _M.id == given.c.id, _M.lease_generation == given.c.generation)
            .values(lease_expires_at=NOW + lease)
            .returning(_M.id)
        )
        return set((await self._connection.scalars(update)).all())

    async def apply(self, changes: Sequence[Change]) -> list[Change]:
        """Store changes; returns those that took effect.

        A change takes no effect if the message has meanwhile another state, or another generation of its lease. Those
        that end a message without an answer are written to the activity of its target.
        """
        if not changes:
            return []
        await self._lock_writer()
        result = await self._connection.execute(build_update([row_from_change(change) for change in changes]))
        changed = {row.id for row in result}
        applied = [change for change in changes if change.after.id in changed]
        await self._counters.subtract([change.before for change in applied if change.after.state not in HELD_STATES])
        ended = [change.after for change in applied if change.after.state in UNDELIVERED_STATES]
        await self.append_activity([build_end_row(message) for message in ended if message.is_logged])
        await self._tell(applied)
        return applied
