"""Delegates tasks to other workspaces, and waits for their results."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from molecule_agent.plane_client import PlaneClient, PlaneRefused, PlaneUnreachable
from molecule_agent.tools.errors import ToolError
from molecule_agent.turn_context import get_turn_context

FIRST_PAUSE_SECONDS = 0.1
"""Seconds until the status of a delegation is read for the first time; the pause grows with every reading."""

MAX_PAUSE_SECONDS = 5.0
"""The longest pause between two readings, and between two attempts to reach the plane."""

PAUSE_GROWTH = 1.5

SUBMIT_SECONDS = 60.0
"""Seconds in which a delegation has to reach the plane; it is repeated with the same key while the plane is away."""

ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
"""The statuses in which a delegation stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A task that this workspace has delegated."""

    id: str
    status: str
    """pending, dispatched, queued, completed, failed, cancelled or expired"""
    text: str = ""
    """The whole result, once it is completed."""
    error: str = ""

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class Delegations:
    """The delegations of one workspace."""

    def __init__(self, plane: PlaneClient, workspace_id: str) -> None:
        self._plane = plane
        self._path = f"/workspaces/{workspace_id}"

    async def submit(self, target_id: str, task: str) -> str:
        """Delegate a task and return the id of the delegation. Raises ToolError.

        It is part of the work of the current turn. If the turn runs again after a crash, the same delegation is found
        again instead of being made twice.
        """
        context = get_turn_context()
        key = context.derive_request_key(target_id, task) or str(uuid4())
        body = {"target_id": target_id, "task": task, "idempotency_key": key}
        if context.lineage_token:
            body["lineage_token"] = context.lineage_token
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + SUBMIT_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = await self._plane.call("POST", f"{self._path}/delegate", body=body)
            except PlaneUnreachable as error:
                if loop.time() + pause > deadline:
                    raise ToolError(f"the plane cannot be reached: {error}") from error
            except PlaneRefused as error:
                raise ToolError(str(error)) from error
            else:
                return str(_read_object(answer).get("delegation_id"))
            await asyncio.sleep(pause)
            pause = min(pause * PAUSE_GROWTH, MAX_PAUSE_SECONDS)

    async def read(self, delegation_id: str) -> Delegation:
        """Return the delegation as it is now. Raises ToolError if it is unknown, and PlaneUnreachable."""
        path = f"{self._path}/delegations/{quote(delegation_id, safe='')}"
        try:
            found = _read_object(await self._plane.call("GET", path))
        except PlaneRefused as error:
            raise ToolError(str(error)) from error
        return Delegation(
            id=delegation_id,
            status=str(found.get("status")),
            text=str(found.get("text") or ""),
            error=str(found.get("error") or ""),
        )

    async def wait(self, delegation_id: str, *, timeout_seconds: float) -> Delegation:
        """Return the delegation once it has ended, or as it is after `timeout_seconds`.

        A plane that is away for a while is waited for. Raises ToolError.
        """
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + timeout_seconds, FIRST_PAUSE_SECONDS
        while True:
            try:
                found = await self.read(delegation_id)
            except PlaneUnreachable as error:
                if loop.time() >= deadline:
                    raise ToolError(f"the plane cannot be reached: {error}") from error
            else:
                if found.has_ended or loop.time() >= deadline:
                    return found
            await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
            pause = min(pause * PAUSE_GROWTH, MAX_PAUSE_SECONDS)


def _read_object(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON that the plane sends
    if not isinstance(answer, dict):
        raise ToolError("the plane answered with something else than a JSON object")
    return answer
