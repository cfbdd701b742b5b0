"""When tokens were used, written together: knowing who calls costs no write per call."""

from datetime import datetime

from services.auth.model import TokenId
from services.auth.store.keys import Store
from services.chassis.clock import Clock


class LastUsedRecorder:
    """Collects uses until they are written."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._used: dict[TokenId, datetime] = {}

    def note(self, token_id: TokenId) -> None:
        """The token was used just now."""
        self._used[token_id] = self._clock.now()

    async def write(self) -> None:
        """Write what was collected. What the database does not take is kept for the next time."""
        if not self._used:
            return
        taken = dict(self._used)
        async with self._store.begin() as tx:
            await tx.touch(taken)
        for token_id, at in taken.items():
            if self._used[token_id] == at:
                del self._used[token_id]
