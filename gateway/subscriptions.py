"""The unread events of one client, and the reasons for which its subscription ends."""

from datetime import timedelta
from enum import Enum, auto

from gateway.live_event import LiveEvent
from services.chassis.fan_out import Subscription

MAX_UNREAD_BROADCAST_BYTES = 32 * 1024 * 1024
"""Bytes of unread broadcasts from which a client loses further ones: their bodies may be as large as messages."""


class EndReason(Enum):
    """Why a client receives no more events."""

    CLIENT_LEFT = auto()

    FINISHED = auto()
    """No further event can follow."""

    TOO_SLOW = auto()
    """The next stored event does not fit into the queue. The client reconnects and resumes."""

    GATEWAY_LEAVING = auto()
    """The gateway stops, or has missed events itself. The client reconnects and resumes."""

    UNAUTHORISED = auto()

    UNAVAILABLE = auto()
    """A service does not answer, so the permission of the client is unknown."""


class SubscriptionEnded(Exception):
    """The subscription delivers no more events."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class EventSubscription:
    """A bounded queue of events. Writing never waits, so a slow client delays no other.

    In a full queue an unread broadcast gives way to a stored event and a new broadcast is dropped, as it is while the
    unread ones are too large. A full queue of stored events ends the subscription, because a client may rely on
    receiving all of them.
    """

    def __init__(self, capacity: int, after: int) -> None:
        """`after` is the id of the last stored event that the client knows."""
        self._last_event_id = after
        self._broadcast_bytes = 0
        self._unread: Subscription[LiveEvent] = Subscription(
            capacity=capacity, overflow_error=lambda: SubscriptionEnded(EndReason.TOO_SLOW)
        )

    def put(self, event: LiveEvent) -> None:
        """Add an event, unless the client knows it."""
        if event.event_id is None:
            if not self._unread.is_full and self._broadcast_bytes < MAX_UNREAD_BROADCAST_BYTES:
                self._unread.put(event)
                self._broadcast_bytes += len(event.payload)
            return
        if event.event_id <= self._last_event_id:
            return
        if self._unread.is_full:
            self._unread.discard_first(self._forget_broadcast)
        self._unread.put(event)
        self._last_event_id = event.event_id

    def end(self, reason: EndReason) -> None:
        """Discard the unread events and end the subscription; the first reason counts."""
        self._unread.close(SubscriptionEnded(reason))

    async def next(self, timeout: timedelta) -> LiveEvent | None:  # noqa: ASYNC109 - no event is a usual result
        """Return the oldest unread event, or `None` after `timeout`; raises `SubscriptionEnded`."""
        event = await self._unread.next(timeout)
        if event is not None:
            self._forget_broadcast(event)
        return event

    def _forget_broadcast(self, event: LiveEvent) -> bool:
        """Count an event as no longer unread, if it is a broadcast; returns whether it is one."""
        if event.event_id is not None:
            return False
        self._broadcast_bytes -= len(event.payload)
        return True
