"""Says whether a workspace has room for a run, from the heartbeats of its agent."""

import asyncio
from datetime import timedelta

from services.a2a_proxy.model import HeartbeatReceived, Route, RouteChanged, Status, WorkspaceId, WorkspaceUpdate

REPORT_LIFETIME = timedelta(seconds=90)
"""Age of a heartbeat from which it says nothing any more; agents send one every 30 s."""

WORKING_STATUSES = frozenset({Status.ONLINE, Status.DEGRADED})


class ReportedLoad:
    """The tasks that agents last reported as active, and the limits of workspaces that may have several.

    An agent that reports none, or nothing, takes no memory.
    """

    def __init__(self) -> None:
        self._reports: dict[WorkspaceId, tuple[int, float]] = {}
        self._limits: dict[WorkspaceId, int] = {}

    def note(self, update: WorkspaceUpdate) -> None:
        """Note a heartbeat or a limit; the report of an agent that does not work any more is forgotten."""
        match update:
            case HeartbeatReceived(workspace_id=workspace_id, active_tasks=active) if active > 0:
                self._reports[workspace_id] = (active, asyncio.get_running_loop().time())
            case HeartbeatReceived(workspace_id=workspace_id):
                self._reports.pop(workspace_id, None)
            case RouteChanged(route=route):
                self._note_route(route)
            case _:
                pass

    def has_room(self, workspace_id: WorkspaceId, under_way: int) -> bool:
        """Whether the agent may take one more task, while the plane itself has `under_way` tasks there.

        The agent's report counts the tasks of the plane too, but it is up to 30 s old.
        """
        active, reported_at = self._reports.get(workspace_id, (0, 0.0))
        if asyncio.get_running_loop().time() - reported_at > REPORT_LIFETIME.total_seconds():
            active = 0
        return max(active, under_way) < self._limits.get(workspace_id, 1)

    def _note_route(self, route: Route) -> None:
        if route.status not in WORKING_STATUSES:
            self._reports.pop(route.workspace_id, None)
        if route.max_concurrent_tasks > 1 and route.status is not Status.REMOVED:
            self._limits[route.workspace_id] = route.max_concurrent_tasks
        else:
            self._limits.pop(route.workspace_id, None)
