"""Publishes broadcast events, which are not stored, to the current subscribers of this replica."""

from collections.abc import AsyncIterator, Sequence

from services.chassis.fan_out import FanOut
from services.registry.workspace.events import Broadcast

MAX_UNREAD_BROADCASTS = 20_000
"""Unread broadcasts of one subscriber; further ones are dropped, because the next heartbeat follows soon."""

MAX_BROADCASTS_PER_MESSAGE = 1_000


class Broadcasts:
    """Publishes the broadcasts that arise in this replica. Other replicas do not receive them."""

    def __init__(self) -> None:
        self._fan_out = FanOut[Broadcast](capacity=MAX_UNREAD_BROADCASTS)

    def publish(self, broadcast: Broadcast) -> None:
        """Send a broadcast to every current subscriber."""
        self._fan_out.publish(broadcast)

    async def watch(self) -> AsyncIterator[Sequence[Broadcast]]:
        """Yield the broadcasts that are published from now on, in batches, without end."""
        with self._fan_out.subscribe() as subscription:
            while True:
                yield await subscription.next_batch(MAX_BROADCASTS_PER_MESSAGE)
