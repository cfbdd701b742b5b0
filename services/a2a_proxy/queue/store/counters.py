"""Counts what the queue holds of each target and each caller: so limits are checked without counting messages."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import HELD_STATES, MessageState, NewMessage, QueuedMessage, Usage
from services.a2a_proxy.queue.rules import measure
from services.a2a_proxy.queue.store.statements import ADD_TO_CALLERS, ADD_TO_TARGETS
from services.a2a_proxy.queue.tables import ERASED_COUNTERS, QUEUE_CALLERS, QUEUE_TARGETS
from services.a2a_proxy.store import build_array_table

Key = TypeVar("Key", bound=Hashable)

_T = QUEUE_TARGETS.c
_C = QUEUE_CALLERS.c


class QueueCounters:
    """The counters within one transaction, which holds the writer lock of the activity while it changes them."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read_targets(self, ids: set[WorkspaceId]) -> dict[WorkspaceId, Usage]:
        """Return what the queue holds of targets; one that never received a message is missing."""
        query = sa.select(_T.target_id, _T.held, _T.held_bytes).where(_T.target_id.in_(sorted(ids)))
        rows = await self._connection.execute(query)
        return {WorkspaceId(row.target_id): Usage(messages=row.held, size=row.held_bytes) for row in rows}

    async def read_callers(self, ids: set[WorkspaceId]) -> dict[WorkspaceId, Usage]:
        """Return how many messages of callers the queue holds, without their size."""
        if not ids:
            return {}
        rows = await self._connection.execute(sa.select(QUEUE_CALLERS).where(_C.caller_id.in_(sorted(ids))))
        return {WorkspaceId(row.caller_id): Usage(messages=row.held) for row in rows}

    async def add(self, messages: Sequence[NewMessage]) -> None:
        """Add accepted messages."""
        targets = sum_usage((message.target_id, measure(message)) for message in messages)
        callers = sum_usage((message.caller_id, measure(message)) for message in messages if message.caller_id)
        await ADD_TO_TARGETS.execute(self._connection, _to_columns("target_id", targets))
        if callers:
            await ADD_TO_CALLERS.execute(self._connection, _to_columns("caller_id", callers))

    async def subtract(self, ended: Sequence[QueuedMessage]) -> None:
        """Subtract messages that will not be delivered any more."""
        if not ended:
            return
        targets = sum_usage((message.target_id, message.size) for message in ended)
        freed = _build_usage_table(targets)
        values = {"held": _T.held - freed.c.held, "held_bytes": _T.held_bytes - freed.c.held_bytes}
        await self._connection.execute(sa.update(QUEUE_TARGETS).where(_T.target_id == freed.c.id).values(values))
        await self._subtract_from_callers(
            sum_usage((message.caller_id, message.size) for message in ended if message.caller_id)
        )

    async def count_erased(self, erased: Sequence[sa.Row[Any]]) -> None:
        """Count deleted messages, given by target, caller, state and size, as erased; none of them is held any more."""
        by_state = sum_usage(((row.target_id, MessageState(row.state)), row.size) for row in erased)
        for (target, state), usage in by_state.items():
            column = ERASED_COUNTERS.get(state, _T.erased_dropped)
            held = usage if state in HELD_STATES else Usage()
            values = {
                column.name: column + usage.messages,
                "held": _T.held - held.messages,
                "held_bytes": _T.held_bytes - held.size,
            }
            await self._connection.execute(sa.update(QUEUE_TARGETS).where(_T.target_id == target).values(values))
        held_rows = [row for row in erased if row.caller_id and MessageState(row.state) in HELD_STATES]
        await self._subtract_from_callers(sum_usage((row.caller_id, row.size) for row in held_rows))

    async def delete(self, workspace_id: WorkspaceId) -> None:
        """Delete the counters of a workspace."""
        await self._connection.execute(sa.delete(QUEUE_TARGETS).where(_T.target_id == workspace_id))
        await self._connection.execute(sa.delete(QUEUE_CALLERS).where(_C.caller_id == workspace_id))

    async def _subtract_from_callers(self, callers: Mapping[WorkspaceId, Usage]) -> None:
        if not callers:
            return
        freed = _build_usage_table(callers)
        update = sa.update(QUEUE_CALLERS).where(_C.caller_id == freed.c.id).values(held=_C.held - freed.c.held)
        await self._connection.execute(update)


def sum_usage(messages: Iterable[tuple[Key, int]]) -> dict[Key, Usage]:
    """Return the number and the bytes of messages by key, from the key and the size of each message."""
    found: dict[Key, Usage] = {}
    for key, size in messages:
        found[key] = found.get(key, Usage()).add(size)
    return found


def _to_columns(key: str, usage: Mapping[WorkspaceId, Usage]) -> dict[str, list[Any]]:
    return {
        key: list(usage),
        "held": [one.messages for one in usage.values()],
        "held_bytes": [one.size for one in usage.values()],
    }


def _build_usage_table(usage: Mapping[WorkspaceId, Usage]) -> Any:  # noqa: ANN401 - a table of SQLAlchemy has no public type
    types: dict[str, sa.types.TypeEngine[Any]] = {
        "id": sa.Uuid(as_uuid=False),
        "held": sa.BigInteger(),
        "held_bytes": sa.BigInteger(),
    }
    return build_array_table(types, _to_columns("id", usage))
