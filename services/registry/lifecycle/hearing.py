"""Records regularly that this replica can hear agents: a gateway follows it, auth answers, and the database writes."""

from services.chassis.clock import Clock
from services.registry.clients import AuthClient
from services.registry.feeds.event_log import EventLog
from services.registry.store.transaction import Store
from services.registry.workspace.hearing import note_hearing


class HearingRecorder:
    """Writes the record for the sweeps. Every replica writes it; a plane hears if one of them does."""

    def __init__(self, store: Store, *, event_log: EventLog, auth: AuthClient, clock: Clock) -> None:
        self._store = store
        self._event_log = event_log
        self._auth = auth
        self._clock = clock

    async def record(self) -> None:
        """Record that the plane can hear now, if it can."""
        if not self._event_log.is_watched or not await self._auth.is_serving():
            return
        async with self._store.begin() as tx:
            before = await tx.hearing.find(lock=True)
            await tx.hearing.save(note_hearing(before, self._clock.now()))
