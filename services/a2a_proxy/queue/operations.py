"""Reads and changes queued messages on request of their senders and of operators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.a2a_proxy.errors import QueueItemNotFound, WrongQueueState
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.access import may_see, sees_all
from services.a2a_proxy.queue.model import Account, Change, MessageState, QueuedMessage
from services.a2a_proxy.queue.store.transaction import QueueStore, QueueTransaction
from services.a2a_proxy.route_cache import RouteCache
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_DROPPED_AT_ONCE = 500
"""Messages that one transaction drops."""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, the newest first, and the number before which the next page begins; `None` on the last page."""

    messages: Sequence[QueuedMessage]
    next_before: int | None


class QueueOperations:
    """One method for each operation on queued messages."""

    def __init__(self, store: QueueStore, route_cache: RouteCache, *, on_change: Callable[[WorkspaceId], None]) -> None:
        """`on_change` is called with the target of a message that may be delivered again."""
        self._store = store
        self._route_cache = route_cache
        self._on_change = on_change

    async def get(self, caller: Identity, id_: str, *, target: WorkspaceId | None = None) -> QueuedMessage:
        """Return a message that the caller may see; raises `QueueItemNotFound`."""
        async with self._store.begin() as tx:
            message = await tx.get(id_)
        if message is None or (target is not None and message.target_id != target):
            raise QueueItemNotFound
        if not may_see(caller, message, await self._find_org(message.target_id)):
            raise QueueItemNotFound
        return message

    async def list_messages(
        self,
        caller: Identity,
        *,
        target: WorkspaceId | None,
        states: Sequence[MessageState],
        before: int | None,
        limit: int,
    ) -> Page:
        """Return the messages that an operator may see, without bodies."""
        targets = self._limit_targets(caller, target)
        async with self._store.begin() as tx:
            found = await tx.list_messages(targets=targets, states=states, before=before, limit=limit)
        return Page(found, found[-1].seq if len(found) == limit else None)

    async def list_accounts(self, caller: Identity, target: WorkspaceId | None) -> list[Account]:
        """Return the accounts of the targets that an operator may see."""
        targets = self._limit_targets(caller, target)
        async with self._store.begin() as tx:
            return await tx.read_accounts(targets)

    async def requeue(self, caller: Identity, id_: str) -> QueuedMessage:
        """Deliver a dead or unknown message again; raises `QueueItemNotFound` and `WrongQueueState`."""
        async with self._store.begin() as tx:
            message = await self._lock(tx, caller, id_, {MessageState.DEAD, MessageState.UNKNOWN})
            after = rules.requeue(message, now=await tx.now())
            await tx.apply([Change(message, after)])
            await tx.notify()
        log.info("queued message requeued", message=id_, actor=caller.actor)
        self._on_change(message.target_id)
        return after

    async def resolve(self, caller: Identity, id_: str, note: str) -> QueuedMessage:
        """Complete a dead or unknown message without delivering it; raises as `requeue` does."""
        async with self._store.begin() as tx:
            message = await self._lock(tx, caller, id_, {MessageState.DEAD, MessageState.UNKNOWN})
            after = rules.resolve(message, note, now=await tx.now())
            await tx.apply([Change(message, after)])
        log.info("queued message resolved", message=id_, actor=caller.actor)
        return after

    async def drop(self, caller: Identity, id_: str, note: str) -> QueuedMessage:
        """Drop a message that is not being delivered; raises as `requeue` does."""
        droppable = {MessageState.QUEUED, MessageState.DEAD, MessageState.UNKNOWN}
        async with self._store.begin() as tx:
            message = await self._lock(tx, caller, id_, droppable)
            after = rules.drop(message, note or "dropped by an operator", now=await tx.now())
            await tx.apply([Change(message, after)])
        log.info("queued message dropped", message=id_, actor=caller.actor)
        return after

    async def drop_stale(self, caller: Identity, *, age: timedelta, target: WorkspaceId | None) -> int:
        """Drop the queued messages that were accepted before `age`; returns how many."""
        targets = self._limit_targets(caller, target)
        return await self._drop_queued(targets, age, f"dropped: older than {age // timedelta(minutes=1)} minutes")

    async def _drop_queued(self, targets: Sequence[WorkspaceId] | None, age: timedelta | None, note: str) -> int:
        total, count = 0, MAX_DROPPED_AT_ONCE
        while count == MAX_DROPPED_AT_ONCE:
            async with self._store.begin() as tx:
                now = await tx.now()
                found = await tx.lock_messages(
                    targets=targets,
                    states=frozenset({MessageState.QUEUED}),
                    accepted_before=None if age is None else now - age,
                    limit=MAX_DROPPED_AT_ONCE,
                )
                await tx.apply([Change(message, rules.drop(message, note, now=now)) for message in found])
            count = len(found)
            total += count
        return total

    async def _lock(self, tx: QueueTransaction, caller: Identity, id_: str, states: set[MessageState]) -> QueuedMessage:
        """Return a message that an operator may change, locked until the end of the transaction."""
        message = await tx.lock_message(id_)
        if message is None or not may_see(caller, message, await self._find_org(message.target_id)):
            raise QueueItemNotFound
        if message.state not in states:
            raise WrongQueueState(message.state)
        return message

    async def _find_org(self, target: WorkspaceId) -> WorkspaceId | None:
        """Return the organisation of a workspace; `None` if it is unknown."""
        route = (await self._route_cache.find(target, None)).route
        return None if route is None else route.org_id

    def _limit_targets(self, caller: Identity, target: WorkspaceId | None) -> Sequence[WorkspaceId] | None:
        """Return the targets that an operator may see, `None` for all."""
        if sees_all(caller):
            return None if target is None else [target]
        own = self._route_cache.list_organisation(WorkspaceId(caller.org_id)) if caller.kind is Kind.ORG else []
        return [id_ for id_ in own if target in {None, id_}]
