"""Tells the queue what happens to targets: heartbeats, changes of status, and removals."""

from services.a2a_proxy import routing
from services.a2a_proxy.capacity import Capacity
from services.a2a_proxy.model import Push, Route, WorkspaceId
from services.a2a_proxy.queue.drain import Drain
from services.a2a_proxy.queue.model import QueuedMessage
from services.a2a_proxy.route_cache import RouteCache


class QueueTargets:
    """Wakes the drain when a target may take messages again."""

    def __init__(self, capacity: Capacity, drain: Drain) -> None:
        self._capacity = capacity
        self._drain = drain

    def note_heartbeat(self, workspace_id: WorkspaceId, active_tasks: int) -> None:
        """Note the tasks that an agent reports, and deliver if they leave room."""
        self._capacity.note_active_tasks(workspace_id, active_tasks)
        if self._capacity.has_known_room(workspace_id):
            self._drain.note_room(workspace_id)

    def note_route(self, before: Route | None, after: Route) -> None:
        """Note a changed route, and deliver if the target can take messages now and could not before."""
        self._capacity.note_route(after)
        could_push = before is not None and isinstance(routing.decide(before), Push)
        if before is not None and before.generation != after.generation:
            self._capacity.forget_other_tasks(after.workspace_id)
        if before is None or not could_push or before.address != after.address or before.mode is not after.mode:
            self._drain.note_room(after.workspace_id)

    def note_removal(self, workspace_id: WorkspaceId) -> None:
        """Have the messages of a removed workspace dropped."""
        self._capacity.drop(workspace_id)
        self._drain.wake(workspace_id)


def is_repeatable(route_cache: RouteCache, message: QueuedMessage) -> bool:
    """Whether the agent of a message may receive it twice: its sender or the agent has declared it."""
    route = route_cache.get(message.target_id)
    return message.is_idempotent or (route is not None and route.has_idempotent_delivery)
