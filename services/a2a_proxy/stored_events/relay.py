"""Sends the events of the outbox to the registry, which stores each of them once."""

import structlog

from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.store import Store
from services.a2a_proxy.stored_events.store import StoredEvents

log = structlog.get_logger()

EVENTS_PER_CALL = 100
"""Events that one call takes; the registry accepts no more."""


class EventRelay:
    """Empties the outbox. One replica at a time does so, because another one would send the same events."""

    def __init__(self, store: Store, registry: RegistryClient) -> None:
        self._store = store
        self._registry = registry

    async def relay(self) -> None:
        """Send the waiting events, the oldest first; raises `Unavailable`.

        Events leave the outbox after the registry has answered: those of a call without an answer are sent again, and
        the registry stores none of them twice. Events that it refuses can never be stored, so they are logged.
        """
        events = None
        while events is None or len(events) == EVENTS_PER_CALL:
            async with self._store.begin() as tx:
                events = await StoredEvents(tx.connection).list_oldest(EVENTS_PER_CALL)
            if not events:
                return
            refused = await self._registry.record_events(events)
            for event in events:
                if event.id in refused:
                    log.warning("event not stored", type=event.type, workspace=event.workspace_id)
            async with self._store.begin() as tx:
                await StoredEvents(tx.connection).delete(events)
