"""Restarts workspaces in turns, so that a team never loses all of its agents at once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from services.chassis.errors import ServiceError
from services.provisioner.clients import RegistryClient
from services.provisioner.model import StartState, WorkspaceId

TURN_LIMIT = timedelta(minutes=2)
"""How long a turn waits for its agents. One that is slower goes on starting, and the next turn begins."""

CHECK_INTERVAL = timedelta(milliseconds=500)

log = structlog.get_logger()


class RollingRestart:
    """Restarts a few workspaces at a time, and waits until their agents have come up before it takes the next ones."""

    def __init__(self, registry: RegistryClient, *, turn_size: int, turn_limit: timedelta = TURN_LIMIT) -> None:
        """`turn_size` workspaces restart at the same time."""
        self._registry = registry
        self._turn_size = turn_size
        self._turn_limit = turn_limit

    async def restart(self, workspace_ids: Sequence[WorkspaceId]) -> set[WorkspaceId]:
        """Return the workspaces that were restarted.

        A workspace that gets no instance now, or was removed meanwhile, is left out. If no agent of a turn comes up,
        the workspaces after it keep the instances that they have.
        """
        restarted: set[WorkspaceId] = set()
        for start in range(0, len(workspace_ids), self._turn_size):
            turn = [one for one in workspace_ids[start : start + self._turn_size] if await self._request(one)]
            restarted.update(turn)
            if turn and not await self._has_any_come_up(turn):
                remaining = len(workspace_ids) - start - self._turn_size
                log.error("no workspace came up again", workspaces=turn, left_alone=max(remaining, 0))
                break
        return restarted

    async def _request(self, workspace_id: WorkspaceId) -> bool:
        try:
            await self._registry.restart(workspace_id)
        except ServiceError as error:
            log.warning("workspace not restarted on its new image", workspace=workspace_id, error=repr(error))
            return False
        return True

    async def _has_any_come_up(self, turn: Sequence[WorkspaceId]) -> bool:
        """Wait until no start of the turn is under way, or its time is over; return whether not all starts failed."""
        states = set[StartState]()
        try:
            async with asyncio.timeout(self._turn_limit.total_seconds()):
                states = {await self._read_state(one) for one in turn}
                while StartState.UNDER_WAY in states:
                    await asyncio.sleep(CHECK_INTERVAL.total_seconds())
                    states = {await self._read_state(one) for one in turn}
        except TimeoutError:
            log.warning("workspaces still start on their new image", workspaces=turn)
        return states != {StartState.FAILED}

    async def _read_state(self, workspace_id: WorkspaceId) -> StartState:
        try:
            return await self._registry.read_start_state(workspace_id)
        except ServiceError as error:
            log.warning("state of a start unknown", workspace=workspace_id, error=repr(error))
            return StartState.UNDER_WAY
