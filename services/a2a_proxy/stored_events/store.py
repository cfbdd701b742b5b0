"""Adds events to the outbox, in the transaction of what they are about, and reads and deletes them."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.a2a_proxy.model import StoredEvent, StoredEventType, WorkspaceId
from services.a2a_proxy.stored_events.tables import OUTBOX
from services.chassis import strict_json


class StoredEvents:
    """The outbox within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        """`connection` is that of the transaction, as `store.Transaction.connection` gives it."""
        self._connection = connection

    async def append(self, events: Sequence[StoredEvent]) -> None:
        """Add events; they reach the registry, in this order, if the transaction is committed."""
        if events:
            await self._connection.execute(sa.insert(OUTBOX), [_build_row(event) for event in events])

    async def list_oldest(self, limit: int) -> list[StoredEvent]:
        """Return the oldest events, the oldest first."""
        found = await self._connection.execute(sa.select(OUTBOX).order_by(OUTBOX.c.seq).limit(limit))
        return [
            StoredEvent(
                id=row.id,
                type=StoredEventType(row.event_type),
                workspace_id=WorkspaceId(row.workspace_id),
                payload=strict_json.parse(row.payload.encode()),
            )
            for row in found
        ]

    async def delete(self, events: Sequence[StoredEvent]) -> None:
        """Delete events for which the registry has answered."""
        ids = [event.id for event in events]
        await self._connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.id.in_(ids)))


def _build_row(event: StoredEvent) -> dict[str, object]:
    return {
        "id": event.id,
        "event_type": event.type.value,
        "workspace_id": event.workspace_id,
        "payload": strict_json.dump(event.payload).decode(),
    }
