"""Publishes broadcasts to the gateways that are subscribed to this replica; they are not stored."""

from collections.abc import AsyncIterator, Iterable, Sequence

from services.a2a_proxy.model import Broadcast
from services.chassis.fan_out import FanOut

MAX_UNREAD_BYTES = 32 * 1024 * 1024
"""Bytes of unread broadcasts above which a subscriber misses further ones, which bounds the memory."""

MAX_BATCH_BYTES = 1024 * 1024
"""Bytes of the broadcasts in one message; a larger broadcast is sent alone."""

BROADCAST_OVERHEAD_BYTES = 200
"""Approximate bytes of a broadcast besides its payload."""


class BroadcastFanOut:
    """Publishes each broadcast to the present subscribers of this replica."""

    def __init__(self) -> None:
        self._fan_out: FanOut[Broadcast] = FanOut(capacity=MAX_UNREAD_BYTES, weigh=_weigh)

    @property
    def has_subscribers(self) -> bool:
        """Whether a broadcast would reach a subscriber; if not, the caller need not build one."""
        return self._fan_out.has_subscribers

    def publish(self, broadcasts: Iterable[Broadcast]) -> None:
        """Publish broadcasts to all present subscribers."""
        for broadcast in broadcasts:
            self._fan_out.publish(broadcast)

    async def subscribe(self) -> AsyncIterator[Sequence[Broadcast]]:
        """Yield the broadcasts from now on, in batches; never ends."""
        with self._fan_out.subscribe() as subscription:
            while True:
                yield await subscription.next_batch(MAX_BATCH_BYTES)


def _weigh(broadcast: Broadcast) -> int:
    return len(broadcast.payload) + len(broadcast.announced_payload or b"") + BROADCAST_OVERHEAD_BYTES
