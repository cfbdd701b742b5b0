"""Single steps on a stored queue, each in one transaction."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import (
    AcceptResult,
    AttemptResult,
    Change,
    LeaseKind,
    NewMessage,
    QueuedMessage,
    QueueLimits,
)
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES
from tests.a2a_proxy.queue.queue_factory import LIMITS

LEASE = timedelta(seconds=30)

NO_BYTE_LIMIT = 1_000_000_000


async def accept(store: QueueStore, *messages: NewMessage, limits: QueueLimits = LIMITS) -> list[AcceptResult]:
    async with store.begin() as tx:
        return await tx.accept(messages, limits)


async def claim(
    store: QueueStore,
    target: WorkspaceId,
    *,
    limit: int = 10,
    max_bytes: int = NO_BYTE_LIMIT,
    kind: LeaseKind = LeaseKind.DISPATCH,
    lease: timedelta = LEASE,
) -> list[QueuedMessage]:
    async with store.begin() as tx:
        return await tx.claim(target, limit=limit, max_bytes=max_bytes, kind=kind, owner="a proxy", lease=lease)


async def settle(store: QueueStore, message: QueuedMessage, result: AttemptResult) -> list[Change]:
    async with store.begin() as tx:
        now = await tx.now()
        return await tx.apply(
            [Change(message, rules.settle(message, result, repeatable=False, now=now, jitter=1))],
        )


async def get(store: QueueStore, id_: str) -> QueuedMessage:
    async with store.begin() as tx:
        found = await tx.get(id_)
    assert found is not None
    return found


async def change(store: QueueStore, id_: str, transition: Callable[..., QueuedMessage], *args: Any) -> None:
    """Apply a transition of the rules to a message that is locked."""
    async with store.begin() as tx:
        message = await tx.lock_message(id_)
        assert message is not None
        await tx.apply([Change(message, transition(message, *args, now=await tx.now()))])


async def set_columns(store: QueueStore, ids: Sequence[str], **values: Any) -> None:
    """Set columns of messages, such as times that have passed."""

    async def update(connection: Any) -> None:
        await connection.execute(sa.update(QUEUED_MESSAGES).where(QUEUED_MESSAGES.c.id.in_(ids)).values(values))

    async with store.begin() as tx:
        await tx.run(update)


async def execute(store: QueueStore, statement: Any) -> list[Any]:
    """Return the rows of a statement."""
    rows: list[Any] = []

    async def run(connection: Any) -> None:
        rows.extend(await connection.execute(statement))

    async with store.begin() as tx:
        await tx.run(run)
    return rows
