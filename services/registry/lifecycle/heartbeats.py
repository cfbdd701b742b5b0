"""Heartbeats are taken in together: whatever arrives while some are under way makes up the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.chassis.batching import Batcher
from services.chassis.errors import ServiceError
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.store.transaction import Store
from services.registry.workspace import health, routes, state_machine
from services.registry.workspace.facts import Patience, Pulse, is_old_news
from services.registry.workspace.model import Status, Vitals, Workspace, WorkspaceId

TOGETHER = 500
"""Heartbeats taken in at once."""


class Meaning(StrEnum):
    """What becomes of a heartbeat."""

    OLD_NEWS = "old news"
    """It is of another generation: nothing."""
    NOTED = "noted"
    """How the agent feels is kept, and only the next reader will see it."""
    MATTERS = "matters"
    """It changes what others need to know, so it has to be judged again, locked. Nothing is kept yet."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A heartbeat taken in: the workspace as it was before, and what it means."""

    before: Workspace
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class _Beat:
    workspace_id: WorkspaceId
    pulse: Pulse


class Intake:
    """Notes how agents feel. One narrow row each, no lock, no revision.

    Reading and noting are two statements and no transaction, which would not keep them apart from others either. What
    comes between them is judged by the next heartbeat; what must not come between is judged again under lock.
    """

    def __init__(self, store: Store, *, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._beats: Batcher[_Beat, Heard] = Batcher(self._take, capacity=TOGETHER)

    async def hear(self, workspace_id: WorkspaceId, pulse: Pulse) -> Heard:
        """What the heartbeat means to its workspace; raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
        return await self._beats.submit(_Beat(workspace_id, pulse))

    async def _take(self, beats: Sequence[_Beat]) -> Sequence[Heard | ServiceError]:
        async with self._store.singly() as tx:
            found = await tx.lists.several([beat.workspace_id for beat in beats])
            known = {workspace.id: workspace for workspace in found}
            felt: dict[WorkspaceId, Vitals] = {}
            outcomes = [_hear(known, felt, beat) for beat in beats]
            await tx.felt.note(felt, self._patience)
        return outcomes


def felt(workspace: Workspace, pulse: Pulse) -> Workspace:
    """The workspace after a heartbeat; the same object where it is old news. Raises `WorkspaceRemoved`."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    return state_machine.after(health.heard(workspace, pulse), pulse)


def _hear(known: Mapping[WorkspaceId, Workspace], felt: dict[WorkspaceId, Vitals], beat: _Beat) -> Heard | ServiceError:
    """Judge one heartbeat; one that is to be noted is put into `felt`, where the next of its agent finds it."""
    before = known.get(beat.workspace_id)
    if before is None:
        return WorkspaceNotFound()
    if before.status is Status.REMOVED:
        return WorkspaceRemoved()
    if is_old_news(beat.pulse, before):
        return Heard(before, Meaning.OLD_NEWS)
    if before.id in felt:
        before = replace(before, vitals=felt[before.id])
    vitals = health.quietly(before, beat.pulse)
    if vitals is None or _crosses_budget(before, vitals):
        return Heard(before, Meaning.MATTERS)
    felt[before.id] = vitals
    return Heard(before, Meaning.NOTED)


def _crosses_budget(before: Workspace, vitals: Vitals) -> bool:
    """Whether it decides anew whether the agent may go on."""
    if before.budget_limit is None:
        return False
    return routes.over_budget(before) != routes.over_budget(replace(before, vitals=vitals))
