"""Stores the results of attempts, in batches, and renews and ends leases."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.activity_rows import build_answer_row
from services.a2a_proxy.queue.model import AttemptResult, Change, Delivered, MessageState, QueuedMessage
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.chassis.batching import Batcher
from services.chassis.errors import Unavailable

log = structlog.get_logger()

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Size of the answers from which a batch takes no further result."""

MIN_WEIGHT = 64 * 1024
"""Weight of the smallest result, which limits a batch to 128 results."""

MAX_REAPED = 200
"""Messages that one transaction returns to the queue, or ends."""

RETRY_INTERVAL = timedelta(seconds=0.5)
"""Delay between two attempts to store a result while the database is unavailable."""


@dataclass(frozen=True, slots=True)
class _Settlement:
    message: QueuedMessage
    result: AttemptResult
    repeatable: bool
    agent_time: timedelta


class Settlement:
    """Ends attempts: stores what became of a message, and renews its lease until then."""

    def __init__(
        self,
        store: QueueStore,
        *,
        lease: timedelta,
        is_repeatable: Callable[[QueuedMessage], bool],
    ) -> None:
        """`is_repeatable` says whether an agent may receive a message twice whose lease was lost."""
        self._store = store
        self._lease = lease
        self._is_repeatable = is_repeatable
        self._listeners: list[Callable[[WorkspaceId], None]] = []
        self._leases: dict[str, int] = {}
        self._batcher: Batcher[_Settlement, None] = Batcher(self._settle_batch, capacity=MAX_BATCH_BYTES, weigh=_weigh)
        self._reaps_after = 0.0

    def add_listener(self, listener: Callable[[WorkspaceId], None]) -> None:
        """Call `listener` with the target of every message that waits again or has ended."""
        self._listeners.append(listener)

    def hold(self, messages: Sequence[QueuedMessage]) -> None:
        """Renew the leases of these messages until they are settled."""
        self._leases.update({message.id: message.lease_generation for message in messages})

    async def settle(
        self, message: QueuedMessage, result: AttemptResult, *, repeatable: bool, agent_time: timedelta
    ) -> None:
        """Store the result of an attempt; it is tried again until the database stores it or the lease is lost."""
        settlement = _Settlement(message, result, repeatable, agent_time)
        while True:
            try:
                await self._batcher.submit(settlement)
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())
            else:
                self.give_up(message)
                return

    def give_up(self, message: QueuedMessage) -> None:
        """Renew the lease of a message no longer. It may have another one by now, which is renewed."""
        if self._leases.get(message.id) == message.lease_generation:
            del self._leases[message.id]

    async def renew_leases(self) -> None:
        """Renew the leases of the attempts in progress; raises `Unavailable`."""
        leases = dict(self._leases)
        if not leases:
            return
        async with self._store.begin() as tx:
            held = await tx.renew(leases, self._lease)
        for id_ in leases.keys() - held:
            if self._leases.get(id_) == leases[id_]:
                log.warning("lease of a message lost", message=id_)

    async def end_expired(self) -> None:
        """End the leases and the messages whose time is over; raises `Unavailable`.

        After an outage of the database it waits for one lease, so that other replicas renew theirs first.
        """
        now = asyncio.get_running_loop().time()
        if now < self._reaps_after:
            return
        try:
            while await self._end_batch():
                pass
        except Unavailable:
            self._reaps_after = now + self._lease.total_seconds()
            raise

    async def _end_batch(self) -> bool:
        """End leases of processes that stopped, and messages whose time is over; returns whether there may be more."""
        async with self._store.begin() as tx:
            leased = await tx.lock_expired_leases(limit=MAX_REAPED)
            late = await tx.lock_expired_messages(limit=MAX_REAPED)
            if not leased and not late:
                return False
            now = await tx.now()
            expired = [Change(message, rules.expire(message, now=now)) for message in late]
            applied = await tx.apply([*(self._expire_lease(message, now) for message in leased), *expired])
        for change in applied:
            self._note_expired(change)
        return MAX_REAPED in {len(leased), len(late)}

    def _expire_lease(self, message: QueuedMessage, now: datetime) -> Change:
        after = rules.expire_lease(
            message,
            repeatable=self._is_repeatable(message),
            now=now,
            jitter=random.random(),  # noqa: S311 - no secret
        )
        return Change(message, after)

    def _note_expired(self, change: Change) -> None:
        before, after = change.before, change.after
        if before.state is MessageState.DISPATCHING:
            log.warning("lease of a message expired", message=after.id, state=after.state)
            self._tell(after.target_id)
        else:
            log.info("queued message expired", message=after.id, target=after.target_id)

    async def _settle_batch(self, batch: Sequence[_Settlement]) -> Sequence[None]:
        async with self._store.begin() as tx:
            now = await tx.now()
            by_id = {item.message.id: item for item in batch}
            changes = [
                Change(
                    item.message,
                    rules.settle(
                        item.message,
                        item.result,
                        repeatable=item.repeatable,
                        now=now,
                        jitter=random.random(),  # noqa: S311 - no secret
                    ),
                )
                for item in batch
            ]
            applied = await tx.apply(changes)
            rows = [
                build_answer_row(change.after, by_id[change.after.id].agent_time)
                for change in applied
                if change.after.state is MessageState.COMPLETED and change.after.is_logged
            ]
            await tx.append_activity(rows)
        for change in applied:
            _log_end(change.after)
        for target in {item.message.target_id for item in batch}:
            self._tell(target)
        return [None] * len(batch)

    def _tell(self, target: WorkspaceId) -> None:
        for listener in self._listeners:
            listener(target)


def _weigh(settlement: _Settlement) -> int:
    result = settlement.result
    answer = result.answer if isinstance(result, Delivered) else None
    return MIN_WEIGHT if answer is None else max(len(answer.body), MIN_WEIGHT)


def _log_end(message: QueuedMessage) -> None:
    if message.state in {MessageState.DEAD, MessageState.UNKNOWN}:
        log.warning("queued message not delivered", message=message.id, state=message.state, error=message.last_error)
