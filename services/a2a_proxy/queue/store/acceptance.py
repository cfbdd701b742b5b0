"""Stores new messages, within the limits of the queue and each identity once."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.queue.model import (
    Accepted,
    AcceptResult,
    AlreadyAccepted,
    Full,
    IdReused,
    MessageState,
    NewMessage,
    QueueLimits,
    Usage,
)
from services.a2a_proxy.queue.rules import has_room, measure
from services.a2a_proxy.queue.store.identities import IdentityQueries
from services.a2a_proxy.queue.store.rows import row_from_new
from services.a2a_proxy.queue.store.statements import INSERT_MESSAGES
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES

_M = QUEUED_MESSAGES.c


class AcceptanceWriter(IdentityQueries):
    """Stores new messages."""

    async def accept(self, messages: Sequence[NewMessage], limits: QueueLimits) -> list[AcceptResult]:
        """Store messages in this order; returns one result for each.

        The writer lock of the activity lets one transaction accept at a time, so `seq` grows in the order of commits.
        """
        await self._lock_writer()
        known = await self._find_identities([message.identity for message in messages if message.identity])
        stored_before = await self._find_stored([message.id for message in messages])
        targets = await self._counters.read_targets({message.target_id for message in messages})
        callers = await self._counters.read_callers({message.caller_id for message in messages if message.caller_id})
        results: list[AcceptResult] = []
        stored: list[NewMessage] = []
        for message in messages:
            earlier = known.get(message.identity) if message.identity else None
            caller = callers.get(message.caller_id, Usage()) if message.caller_id else Usage()
            target = targets.get(message.target_id, Usage())
            if message.id in stored_before:  # by an attempt to store it whose result was unknown
                results.append(Accepted(message.id, target.messages))
            elif earlier is not None:
                id_, state, digest = earlier
                results.append(AlreadyAccepted(id_, state) if digest == message.digest else IdReused())
            elif not has_room(message, target, caller, limits):
                results.append(Full())
            else:
                targets[message.target_id] = target = target.add(measure(message))
                if message.caller_id:
                    callers[message.caller_id] = caller.add(measure(message))
                if message.identity:
                    known[message.identity] = message.id, MessageState.QUEUED, message.digest
                stored.append(message)
                results.append(Accepted(message.id, target.messages))
        if stored:
            await self._insert(stored)
            await self._counters.add(stored)
        return results

    async def _find_stored(self, ids: Sequence[str]) -> set[str]:
        return set((await self._connection.scalars(sa.select(_M.id).where(_M.id.in_(list(ids))))).all())

    async def _insert(self, messages: Sequence[NewMessage]) -> None:
        rows = [row_from_new(message) for message in messages]
        columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
        await INSERT_MESSAGES.execute(self._connection, columns)
