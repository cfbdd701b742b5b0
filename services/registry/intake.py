"""Heartbeats are taken in together: whatever arrives while one transaction is under way makes up the next."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.chassis.errors import ServiceError
from services.registry import health, routes, status
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.facts import Patience, Pulse, is_old_news
from services.registry.model import Status, Vitals, Workspace, WorkspaceId
from services.registry.store.transaction import Store

TOGETHER = 500
"""Heartbeats taken into one transaction."""


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
class _Waiting:
    workspace_id: WorkspaceId
    pulse: Pulse
    answer: "asyncio.Future[Heard]"


class Intake:
    """Notes how agents feel, for as long as `run` runs. One narrow row each, no lock, no revision."""

    def __init__(self, store: Store, *, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()

    async def hear(self, workspace_id: WorkspaceId, pulse: Pulse) -> Heard:
        """What the heartbeat means to its workspace; raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
        answer: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Waiting(workspace_id, pulse, answer))
        return await answer

    async def run(self) -> None:
        """Take in what waits, until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and len(batch) < TOGETHER:
                batch.append(self._waiting.get_nowait())
            try:
                outcomes = await self._take(batch)
            except ServiceError as error:
                outcomes = [error] * len(batch)
            for waiting, outcome in zip(batch, outcomes, strict=True):
                _tell(waiting.answer, outcome)

    async def _take(self, batch: Sequence[_Waiting]) -> Sequence[Heard | ServiceError]:
        async with self._store.begin() as tx:
            found = await tx.lists.several([waiting.workspace_id for waiting in batch])
            known = {workspace.id: workspace for workspace in found}
            felt: dict[WorkspaceId, Vitals] = {}
            outcomes = [_hear(known, felt, waiting) for waiting in batch]
            await tx.felt.note(felt, self._patience)
        return outcomes


def felt(workspace: Workspace, pulse: Pulse) -> Workspace:
    """The workspace after a heartbeat; the same object where it is old news. Raises `WorkspaceRemoved`."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    return status.after(health.heard(workspace, pulse), pulse)


def _hear(
    known: Mapping[WorkspaceId, Workspace], felt: dict[WorkspaceId, Vitals], waiting: _Waiting
) -> Heard | ServiceError:
    """Judge one heartbeat; one that is to be noted is put into `felt`, where the next of its agent finds it."""
    before = known.get(waiting.workspace_id)
    if before is None:
        return WorkspaceNotFound()
    if before.status is Status.REMOVED:
        return WorkspaceRemoved()
    if is_old_news(waiting.pulse, before):
        return Heard(before, Meaning.OLD_NEWS)
    if before.id in felt:
        before = replace(before, vitals=felt[before.id])
    vitals = health.quietly(before, waiting.pulse)
    if vitals is None or _crosses_budget(before, vitals):
        return Heard(before, Meaning.MATTERS)
    felt[before.id] = vitals
    return Heard(before, Meaning.NOTED)


def _crosses_budget(before: Workspace, vitals: Vitals) -> bool:
    """Whether it decides anew whether the agent may go on."""
    if before.budget_limit is None:
        return False
    return routes.over_budget(before) != routes.over_budget(replace(before, vitals=vitals))


def _tell(answer: "asyncio.Future[Heard]", outcome: Heard | ServiceError) -> None:
    if answer.done():
        return  # the caller has gone
    if isinstance(outcome, Heard):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)
