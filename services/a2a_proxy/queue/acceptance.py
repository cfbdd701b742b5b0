"""Accepts messages: each one is committed before its sender is answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.a2a_proxy.model import Activity, WorkspaceId
from services.a2a_proxy.queue.model import Accepted, AcceptResult, AlreadyAccepted, IdReused, NewMessage, QueueLimits
from services.a2a_proxy.queue.recent_ids import RecentIds
from services.a2a_proxy.queue.store.connection import Work
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.chassis.batching import Batcher

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Size of the bodies from which a batch takes no further message."""

MIN_WEIGHT = 64 * 1024
"""Weight of the smallest message, which limits a batch to 128 messages."""


@dataclass(frozen=True, slots=True)
class _Submission:
    message: NewMessage
    row: Activity | None
    alongside: Work | None


class MessageAcceptance:
    """Stores messages in batches, with their activity rows."""

    def __init__(
        self,
        store: QueueStore,
        recent_ids: RecentIds,
        *,
        limits: QueueLimits,
        on_accepted: Callable[[WorkspaceId], None],
    ) -> None:
        """`on_accepted` is called with the target after the commit."""
        self._store = store
        self._recent_ids = recent_ids
        self._limits = limits
        self._on_accepted = on_accepted
        self._batcher: Batcher[_Submission, AcceptResult] = Batcher(
            self._accept_batch, capacity=MAX_BATCH_BYTES, weigh=lambda item: max(len(item.message.body), MIN_WEIGHT)
        )

    async def accept(
        self, message: NewMessage, row: Activity | None = None, *, alongside: Work | None = None
    ) -> AcceptResult:
        """Store a message and its activity row; `alongside` runs if the message is stored. Raises `Unavailable`."""
        return await self._batcher.submit(_Submission(message, row, alongside))

    def may_be_known(self, identity: bytes) -> bool:
        """Whether a message with this identity may have been accepted; no database read."""
        return self._recent_ids.may_contain(identity)

    async def find_earlier(self, identity: bytes, digest: bytes) -> AlreadyAccepted | IdReused | None:
        """Return what an earlier message with this identity means for another one; `None` without one."""
        async with self._store.begin() as tx:
            found = await tx.find_identity(identity)
        if found is None:
            return None
        id_, state, known_digest = found
        return AlreadyAccepted(id_, state) if known_digest == digest else IdReused()

    async def _accept_batch(self, batch: Sequence[_Submission]) -> Sequence[AcceptResult]:
        async with self._store.begin() as tx:
            results = await tx.accept([item.message for item in batch], self._limits)
            accepted = [item for item, result in zip(batch, results, strict=True) if isinstance(result, Accepted)]
            rows = [item.row for item in accepted if item.row is not None]
            await tx.append_activity(rows)
            for item in accepted:
                if item.alongside is not None:
                    await tx.run(item.alongside)
            if accepted:
                await tx.notify()
        self._recent_ids.add(item.message.identity for item in accepted if item.message.identity)
        for target in {item.message.target_id for item in accepted}:
            self._on_accepted(target)
        return results
