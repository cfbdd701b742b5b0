"""Heartbeats are taken in together: whatever arrives while some are under way makes up the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.chassis.batching import Batcher
from services.chassis.errors import ServiceError
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.store.transaction import Store
from services.registry.workspace import health, routes, state_machine
from services.registry.workspace.facts import HeartbeatReceived, LivenessTimeouts, is_outdated
from services.registry.workspace.model import Status, Vitals, Workspace, WorkspaceId

MAX_HEARTBEATS_PER_BATCH = 500
"""Heartbeats taken in at once."""


class Effect(StrEnum):
    """What becomes of a heartbeat."""

    OLD_NEWS = "old news"
    """It is of another generation: nothing."""
    NOTED = "noted"
    """How the agent feels is kept, and only the next reader will see it."""
    MATTERS = "matters"
    """It changes what others need to know, so it has to be judged again, locked. Nothing is kept yet."""


@dataclass(frozen=True, slots=True)
class HeartbeatOutcome:
    """A heartbeat taken in: the workspace as it was before, and what it means."""

    before: Workspace
    meaning: Effect


@dataclass(frozen=True, slots=True)
class _QueuedHeartbeat:
    workspace_id: WorkspaceId
    pulse: HeartbeatReceived


class HeartbeatBatcher:
    """Notes how agents feel. One narrow row each, no lock, no revision.

    Reading and noting are two statements and no transaction, which would not keep them apart from others either. What
    comes between them is judged by the next heartbeat; what must not come between is judged again under lock.
    """

    def __init__(self, store: Store, *, timeouts: LivenessTimeouts) -> None:
        self._store = store
        self._timeouts = timeouts
        self._beats: Batcher[_QueuedHeartbeat, HeartbeatOutcome] = Batcher(
            self._take, capacity=MAX_HEARTBEATS_PER_BATCH
        )

    async def hear(self, workspace_id: WorkspaceId, pulse: HeartbeatReceived) -> HeartbeatOutcome:
        """What the heartbeat means to its workspace; raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
        return await self._beats.submit(_QueuedHeartbeat(workspace_id, pulse))

    async def _take(self, beats: Sequence[_QueuedHeartbeat]) -> Sequence[HeartbeatOutcome | ServiceError]:
        async with self._store.autocommit() as tx:
            found = await tx.lists.list_by_ids([beat.workspace_id for beat in beats])
            known = {workspace.id: workspace for workspace in found}
            felt: dict[WorkspaceId, Vitals] = {}
            outcomes = [_judge_queued(known, felt, beat) for beat in beats]
            await tx.vitals.write(felt, self._timeouts)
        return outcomes


def apply_heartbeat(workspace: Workspace, pulse: HeartbeatReceived) -> Workspace:
    """The workspace after a heartbeat; the same object where it is old news. Raises `WorkspaceRemoved`."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    return state_machine.next_state(health.apply_heartbeat(workspace, pulse), pulse)


def _judge_queued(
    known: Mapping[WorkspaceId, Workspace], felt: dict[WorkspaceId, Vitals], beat: _QueuedHeartbeat
) -> HeartbeatOutcome | ServiceError:
    """Judge one heartbeat; one that is to be noted is put into `apply_heartbeat`, where the next of its agent finds it."""
    before = known.get(beat.workspace_id)
    if before is None:
        return WorkspaceNotFound()
    if before.status is Status.REMOVED:
        return WorkspaceRemoved()
    if is_outdated(beat.pulse, before):
        return HeartbeatOutcome(before, Effect.OLD_NEWS)
    if before.id in felt:
        before = replace(before, vitals=felt[before.id])
    vitals = health.find_vitals_only_update(before, beat.pulse)
    if vitals is None or _changes_budget_state(before, vitals):
        return HeartbeatOutcome(before, Effect.MATTERS)
    felt[before.id] = vitals
    return HeartbeatOutcome(before, Effect.NOTED)


def _changes_budget_state(before: Workspace, vitals: Vitals) -> bool:
    """Whether it decides anew whether the agent may go on."""
    if before.budget_limit is None:
        return False
    return routes.is_over_budget(before) != routes.is_over_budget(replace(before, vitals=vitals))
