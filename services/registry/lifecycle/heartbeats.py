"""Receives heartbeats of agents.

Heartbeats that arrive at the same time are batched: one statement reads their workspaces, another writes their vitals.
Nearly every heartbeat changes only vitals. One that changes more is applied again under a row lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.chassis.batching import Batcher
from services.chassis.errors import InvalidArgument, ServiceError
from services.registry.card_keys import NO_CARD_KEYS, CardKeys
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.feeds.workspace_feed import WorkspaceFeed
from services.registry.lifecycle import transitions
from services.registry.store.transaction import Store
from services.registry.workspace import events, health, routes, state_machine, validation
from services.registry.workspace.facts import HeartbeatReceived, LivenessTimeouts, is_outdated
from services.registry.workspace.model import HeartbeatNotice, Status, Vitals, Workspace, WorkspaceId

MAX_HEARTBEATS_PER_BATCH = 500


class Effect(StrEnum):
    """What a heartbeat changes."""

    OUTDATED = "outdated"
    """Nothing: it is of another generation."""
    VITALS_WRITTEN = "vitals written"
    """Only vitals, and these are written."""
    NEEDS_LOCK = "needs lock"
    """Status or fields that others watch. Nothing is written yet: it must be applied under a row lock."""


@dataclass(frozen=True, slots=True)
class BatchedHeartbeat:
    """The result of a heartbeat in its batch: the workspace before it, and its effect."""

    before: Workspace
    effect: Effect


@dataclass(frozen=True, slots=True)
class _QueuedHeartbeat:
    workspace_id: WorkspaceId
    fact: HeartbeatReceived


class HeartbeatBatcher:
    """Writes the vitals of many heartbeats with two statements, without row locks and without a revision.

    Each statement is committed by itself, because a transaction would not isolate the two either. A change between them
    is seen by the next heartbeat; a change that must not race is applied again under a lock.
    """

    def __init__(self, store: Store, *, timeouts: LivenessTimeouts) -> None:
        self._store = store
        self._timeouts = timeouts
        self._queue: Batcher[_QueuedHeartbeat, BatchedHeartbeat] = Batcher(
            self._write_batch, capacity=MAX_HEARTBEATS_PER_BATCH
        )

    async def submit(self, workspace_id: WorkspaceId, fact: HeartbeatReceived) -> BatchedHeartbeat:
        """Write the vitals if nothing else changes; raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
        return await self._queue.submit(_QueuedHeartbeat(workspace_id, fact))

    async def _write_batch(self, batch: Sequence[_QueuedHeartbeat]) -> Sequence[BatchedHeartbeat | ServiceError]:
        async with self._store.autocommit() as tx:
            found = await tx.lists.list_by_ids([queued.workspace_id for queued in batch])
            known = {workspace.id: workspace for workspace in found}
            vitals: dict[WorkspaceId, Vitals] = {}
            outcomes = [_judge(known, vitals, queued) for queued in batch]
            await tx.vitals.write(vitals, self._timeouts)
        return outcomes


class HeartbeatService:
    """Applies heartbeats and notifies the watchers of the feed and the subscribers of broadcasts."""

    def __init__(
        self,
        store: Store,
        feed: WorkspaceFeed,
        broadcasts: Broadcasts,
        batcher: HeartbeatBatcher,
        *,
        card_keys: CardKeys = NO_CARD_KEYS,
    ) -> None:
        self._store = store
        self._card_keys = card_keys
        self._feed = feed
        self._broadcasts = broadcasts
        self._batcher = batcher

    async def receive(self, workspace_id: WorkspaceId, fact: HeartbeatReceived) -> Workspace:
        """Apply a heartbeat; return the workspace. Raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
        batched = await self._batcher.submit(workspace_id, fact)
        if batched.effect is Effect.OUTDATED:
            return batched.before
        now = batched.before
        if batched.effect is Effect.NEEDS_LOCK:
            now = await self._apply_locked(workspace_id, fact)
        notice = HeartbeatNotice(
            workspace_id=workspace_id,
            active_tasks=fact.active_tasks,
            current_task=fact.current_task,
            uptime_seconds=fact.uptime_seconds,
        )
        self._feed.publish_heartbeat(notice)
        for broadcast in events.build_heartbeat_broadcasts(batched.before.vitals.current_task, notice, fact.at):
            self._broadcasts.publish(broadcast)
        return now

    async def _apply_locked(self, workspace_id: WorkspaceId, fact: HeartbeatReceived) -> Workspace:
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            if fact.card is not None and not before.has_card and not await self._is_acceptable(fact.card):
                fact = replace(fact, card=None)
            now = transitions.apply(tx, before, fact, decide=_decide)
            if now is not before and fact.card is not None and not before.has_card:
                await tx.put_card(workspace_id, fact.card)
        return now

    async def _is_acceptable(self, card: bytes) -> bool:
        """Whether an agent could register a card."""
        try:
            await self._card_keys.judge(validation.parse_card(card))
        except InvalidArgument:
            return False
        return True


def _decide(before: Workspace, fact: HeartbeatReceived) -> Workspace:
    """Return the workspace with the content of the heartbeat and the status that follows from it."""
    return state_machine.next_state(health.apply_heartbeat(before, fact), fact)


def _judge(
    known: Mapping[WorkspaceId, Workspace], vitals: dict[WorkspaceId, Vitals], queued: _QueuedHeartbeat
) -> BatchedHeartbeat | ServiceError:
    """Decide one heartbeat of a batch. New vitals go into `vitals`, where a later heartbeat of the agent finds them."""
    before = known.get(queued.workspace_id)
    if before is None:
        return WorkspaceNotFound()
    if before.status is Status.REMOVED:
        return WorkspaceRemoved()
    if is_outdated(queued.fact, before):
        return BatchedHeartbeat(before, Effect.OUTDATED)
    if before.id in vitals:
        before = replace(before, vitals=vitals[before.id])
    new_vitals = health.find_vitals_only_update(before, queued.fact)
    if new_vitals is None or _changes_budget_state(before, new_vitals):
        return BatchedHeartbeat(before, Effect.NEEDS_LOCK)
    vitals[before.id] = new_vitals
    return BatchedHeartbeat(before, Effect.VITALS_WRITTEN)


def _changes_budget_state(before: Workspace, vitals: Vitals) -> bool:
    """Whether the new spend crosses the budget limit in either direction."""
    if before.budget_limit is None:
        return False
    return routes.is_over_budget(before) != routes.is_over_budget(replace(before, vitals=vitals))
