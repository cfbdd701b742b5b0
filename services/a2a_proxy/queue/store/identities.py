"""Finds messages by their identity, of which a second one is not accepted, and forgets identities."""

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import MessageState
from services.a2a_proxy.queue.store.connection import QueueConnection
from services.a2a_proxy.queue.store.statements import NOW
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES

IDENTITY_LIFETIME = timedelta(hours=24)
"""Time after the end of a message during which its id is known."""

_M = QUEUED_MESSAGES.c


class IdentityQueries(QueueConnection):
    """Reads and forgets the identities of messages."""

    async def find_identity(self, identity: bytes) -> tuple[str, MessageState, bytes] | None:
        """Return id, state and digest of the message with an identity, if it is known."""
        return (await self._find_identities([identity])).get(identity)

    async def list_identities(
        self, *, after: int, limit: int, known_only: bool = False
    ) -> list[tuple[int, WorkspaceId, bytes | None]]:
        """Return number, target and identity of the messages that were accepted after a number, in their order."""
        query = sa.select(_M.seq, _M.target_id, _M.identity).where(_M.seq > after).order_by(_M.seq).limit(limit)
        if known_only:
            query = query.where(_M.identity.is_not(None))
        return [(row.seq, WorkspaceId(row.target_id), row.identity) for row in await self._connection.execute(query)]

    async def get_last_seq(self) -> int:
        """Return the number of the message that was accepted last; 0 for none."""
        return await self._connection.scalar(sa.select(sa.func.max(_M.seq))) or 0

    async def count_identities(self, limit: int) -> int:
        """Return how many identities are known, at most `limit`."""
        known = sa.select(_M.id).where(_M.identity.is_not(None)).limit(limit).subquery()
        return await self._connection.scalar(sa.select(sa.func.count()).select_from(known)) or 0

    async def forget_identities(self, *, limit: int) -> int:
        """Forget the ids of messages that ended long ago; returns how many."""
        old = sa.select(_M.id).where(_M.identity.is_not(None), _M.ended_at < NOW - IDENTITY_LIFETIME)
        chosen = old.limit(limit).with_for_update(skip_locked=True).cte("chosen")
        update = sa.update(QUEUED_MESSAGES).where(_M.id == chosen.c.id).values(identity=None)
        return (await self._connection.execute(update)).rowcount

    async def _find_identities(self, identities: Sequence[bytes]) -> dict[bytes, tuple[str, MessageState, bytes]]:
        """Return id, state and digest by identity, and forget the ones whose time is over."""
        if not identities:
            return {}
        over = sa.update(QUEUED_MESSAGES).where(
            _M.identity.in_(list(identities)), _M.ended_at < NOW - IDENTITY_LIFETIME
        )
        await self._connection.execute(over.values(identity=None))
        found = sa.select(_M.identity, _M.id, _M.state, _M.digest).where(_M.identity.in_(list(identities)))
        rows = await self._connection.execute(found)
        return {row.identity: (row.id, MessageState(row.state), row.digest) for row in rows}
