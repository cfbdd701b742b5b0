"""Heartbeats are taken in together: whatever arrives while one transaction is under way makes up the next."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.chassis.errors import ServiceError
from services.registry import health, routes, status
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.facts import Pulse
from services.registry.model import Status, Workspace, WorkspaceId
from services.registry.store.transaction import Store

TOGETHER = 500
"""Heartbeats taken into one transaction."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a heartbeat made of a workspace: noted, unless it `matters` to others than its next reader."""

    before: Workspace
    now: Workspace
    matters: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    workspace_id: WorkspaceId
    pulse: Pulse
    answer: "asyncio.Future[Heard]"


class Intake:
    """Notes how agents feel, for as long as `run` runs. One narrow row each, no lock, no revision."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()

    async def hear(self, workspace_id: WorkspaceId, pulse: Pulse) -> Heard:
        """What the heartbeat made of its workspace; raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
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
            outcomes = [_hear(known, waiting) for waiting in batch]
            await tx.note([known[workspace_id] for workspace_id in _noted(outcomes)])
        return outcomes


def felt(workspace: Workspace, pulse: Pulse) -> Workspace:
    """The workspace after a heartbeat; the same object where it is old news. Raises `WorkspaceRemoved`."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    return status.after(health.heard(workspace, pulse), pulse)


def _hear(known: dict[WorkspaceId, Workspace], waiting: _Waiting) -> Heard | ServiceError:
    before = known.get(waiting.workspace_id)
    if before is None:
        return WorkspaceNotFound()
    try:
        now = felt(before, waiting.pulse)
    except WorkspaceRemoved as removed:
        return removed
    heard = Heard(before, now, _matters(before, now))
    if not heard.matters:
        known[before.id] = now
    return heard


def _matters(before: Workspace, now: Workspace) -> bool:
    """Whether more changed than how the agent feels, or that decides whether it may go on."""
    if now is before:
        return False
    quiet = replace(now, vitals=before.vitals) == before
    return not quiet or routes.over_budget(before) != routes.over_budget(now)


def _noted(outcomes: Sequence[Heard | ServiceError]) -> set[WorkspaceId]:
    heard = [outcome for outcome in outcomes if isinstance(outcome, Heard)]
    return {one.now.id for one in heard if one.now is not one.before and not one.matters}


def _tell(answer: "asyncio.Future[Heard]", outcome: Heard | ServiceError) -> None:
    if answer.done():
        return  # the caller has gone
    if isinstance(outcome, Heard):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)
