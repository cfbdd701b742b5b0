"""Stores the events that arise in other services, each once."""

from collections.abc import Sequence

from services.registry.errors.events import TooManyRelayedEvents
from services.registry.store.transaction import Store
from services.registry.workspace.events import RelayedEvent, parse_relayed_event

MAX_RELAYED_EVENTS = 100
"""Events of one call."""


class RelayedEvents:
    """Stores events of other services in the one event log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record(self, relayed: Sequence[RelayedEvent]) -> list[str]:
        """Store events in their order; return the ids of those that can never be stored.

        These are invalid, or about a workspace that is unknown or removed: after its removal no further event of a
        workspace follows. An event whose id is stored already is not stored again. Raises `TooManyRelayedEvents`.
        """
        if len(relayed) > MAX_RELAYED_EVENTS:
            raise TooManyRelayedEvents
        async with self._store.begin() as tx:
            present = await tx.tree.lock_present({event.workspace_id for event in relayed})
            known = await tx.events.find_known_ids([event.id for event in relayed])
            refused = []
            for event in relayed:
                workspace, draft = present.get(event.workspace_id), parse_relayed_event(event)
                if workspace is None or draft is None:
                    refused.append(event.id)
                elif event.id not in known:
                    known.add(event.id)
                    tx.save(workspace, draft)
        return refused
