"""Takes what agents report: activity of their workspaces, and messages to people."""

from uuid import NAMESPACE_URL, uuid4, uuid5

import structlog

from services.a2a_proxy import agent_message, reported_activity
from services.a2a_proxy.agent_message import AgentMessage
from services.a2a_proxy.emitter import EventEmitter
from services.a2a_proxy.errors import WorkspaceNotFound, WorkspaceRemoved
from services.a2a_proxy.model import Activity, Route, Status, WorkspaceId
from services.a2a_proxy.reported_activity import ReportedActivity
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.work import WorkTracker
from services.chassis.clock import Clock

log = structlog.get_logger()


class Reports:
    """What agents report, with one method for each kind."""

    def __init__(self, *, route_cache: RouteCache, emitter: EventEmitter, work: WorkTracker, clock: Clock) -> None:
        self._route_cache = route_cache
        self._emitter = emitter
        self._work = work
        self._clock = clock

    async def log_activity(self, reported: ReportedActivity, request_id: str, *, author: WorkspaceId | None) -> None:
        """Add a row to the activity of a workspace. If a caller repeats a `request_id`, one row is added.

        `author` is the workspace whose token was used. Raises `InvalidActivity`, `ForeignSource`, `WorkspaceNotFound`
        or `WorkspaceRemoved`, and `Unavailable` where rows are committed before the answer.
        """
        row = reported_activity.build_row(
            reported, author=author, row_id=_derive_id(reported.workspace_id, request_id), at=self._clock.now()
        )
        route = await self._find_route(reported.workspace_id)
        if route.status is Status.REMOVED:
            raise WorkspaceRemoved
        await self._emitter.wait_for_room(_measure(row))
        await self._emitter.record(row)

    async def send_message(self, message: AgentMessage, request_id: str) -> None:
        """Broadcast a message to people, and record it if there is room; never waits for the database.

        Raises `InvalidAgentMessage` or `WorkspaceNotFound`.
        """
        agent_message.check_message(message)
        route = await self._find_route(message.workspace_id)
        if route.status is Status.REMOVED:
            raise WorkspaceNotFound
        self._work.note(message.workspace_id)
        now = self._clock.now()
        self._emitter.broadcast([agent_message.build_broadcast(message, route.name, now)])
        row = agent_message.build_row(message, row_id=_derive_id(message.workspace_id, request_id), at=now)
        if not self._emitter.record_soon(row):
            log.warning("message of an agent not recorded: no room", workspace=message.workspace_id)

    async def _find_route(self, workspace_id: WorkspaceId) -> Route:
        found = await self._route_cache.find(workspace_id, None)
        if found.route is None:
            raise WorkspaceNotFound
        return found.route


def _derive_id(workspace_id: WorkspaceId, request_id: str) -> str:
    """Return the id of a row: random without a `request_id`, otherwise the same for the same request."""
    if not request_id:
        return str(uuid4())
    return str(uuid5(NAMESPACE_URL, f"molecule:activity:{workspace_id}:{request_id}"))


def _measure(row: Activity) -> int:
    return len(row.request_body or "") + len(row.response_body or "")
