"""Records when tokens are used, and saves it in batches, so that authorising a request writes nothing."""

from datetime import datetime

from services.auth.model.tokens import TokenId
from services.auth.store.transaction import Store
from services.chassis.clock import Clock


class LastUsedRecorder:
    """Collects uses of tokens until they are saved."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._unsaved: dict[TokenId, datetime] = {}

    def record_use(self, token_id: TokenId) -> None:
        """Note that the token is used now."""
        self._unsaved[token_id] = self._clock.now()

    async def save(self) -> None:
        """Save the collected uses. They stay collected if the database is unavailable."""
        if not self._unsaved:
            return
        saving = dict(self._unsaved)
        async with self._store.begin() as tx:
            await tx.last_used.save(saving)
        for token_id, used_at in saving.items():
            if self._unsaved[token_id] == used_at:  # not used again in the meantime
                del self._unsaved[token_id]
