"""What waits in the queue: for which targets, why, and until when."""

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import MessageState, WaitReason
from services.a2a_proxy.queue.store.connection import QueueConnection
from services.a2a_proxy.queue.store.ranges import OLDEST_FIRST, RANGED, build_ranges, is_in_range
from services.a2a_proxy.queue.store.statements import IS_NOT_EXPIRED, NOW
from services.a2a_proxy.queue.tables import IS_QUEUED, QUEUED_MESSAGES
from services.a2a_proxy.store import select_distinct

_M = QUEUED_MESSAGES.c


class WaitingQueries(QueueConnection):
    """Reads which targets have queued messages, and changes why and until when these wait."""

    async def list_waiting_targets(self) -> list[WorkspaceId]:
        """Return the targets with queued messages. It reads the index once for each target."""
        targets = await self._connection.scalars(select_distinct(_M.target_id, IS_QUEUED))
        return [WorkspaceId(target) for target in targets]

    async def list_targets_with_work(self, targets: Sequence[WorkspaceId]) -> list[WorkspaceId]:
        """Return those of the targets for which messages wait or are being delivered."""
        ranges = build_ranges(targets, [MessageState.QUEUED, MessageState.DISPATCHING])
        found = sa.exists().where(is_in_range(ranges))
        rows = await self._connection.scalars(sa.select(ranges.c.target_id).where(found).distinct())
        return [WorkspaceId(target) for target in rows]

    async def find_next_due(self, target: WorkspaceId, *, is_later: bool = False) -> timedelta | None:
        """Return the time until the next queued message of a target may be delivered; `None` without one.

        With `is_later` it ignores the messages that may be delivered already.
        """
        soonest = sa.select(sa.func.min(_M.not_before) - NOW).where(_M.target_id == target, IS_QUEUED, IS_NOT_EXPIRED)
        if is_later:
            soonest = soonest.where(_M.not_before > NOW)
        found: timedelta | None = await self._connection.scalar(soonest)
        return found

    async def note_waiting(
        self, target: WorkspaceId, reason: WaitReason, error: str, *, after: int = 0, limit: int
    ) -> tuple[int, bool]:
        """Store why messages of a target wait: the oldest ones with a number after `after`.

        It looks at `limit` messages. Returns the number of the last one, and whether there may be more.
        """
        ranges = build_ranges([target], [MessageState.QUEUED])
        query = sa.select(RANGED.c.id, RANGED.c.seq, RANGED.c.last_error).where(is_in_range(ranges, after=after))
        found = query.order_by(*OLDEST_FIRST).limit(limit).lateral("found")
        looked_at = sa.select(found).select_from(ranges.join(found, sa.true())).cte("looked_at")
        others = sa.select(looked_at.c.id).where(looked_at.c.last_error.is_distinct_from(error))
        chosen = sa.select(_M.id).where(_M.id.in_(others), IS_QUEUED).with_for_update(skip_locked=True).cte("chosen")
        update = sa.update(QUEUED_MESSAGES).where(_M.id == chosen.c.id).values(last_error=error, reason=reason.value)
        noted = update.returning(_M.id).cte("noted")
        looked = sa.select(sa.func.max(looked_at.c.seq), sa.func.count()).select_from(looked_at).add_cte(noted)
        last_seq, count = (await self._connection.execute(looked)).one()
        return last_seq or after, count == limit

    async def expedite(self, target: WorkspaceId, *, limit: int) -> None:
        """End the delays of the first messages of a target that had no room or gave no answer."""
        waiting = sa.select(_M.id).where(_M.target_id == target, IS_QUEUED, _M.not_before > NOW)
        chosen = waiting.where(_M.reason.in_([WaitReason.BUSY.value, WaitReason.RETRY.value]))
        first = chosen.order_by(_M.priority.desc(), _M.seq).limit(limit)
        locked = first.with_for_update(skip_locked=True).cte("chosen")
        await self._connection.execute(sa.update(QUEUED_MESSAGES).where(_M.id == locked.c.id).values(not_before=NOW))
