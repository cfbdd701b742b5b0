"""Finds out whose tasks a caller may see, with what is known of organisations."""

from collections.abc import Sequence

from services.a2a_proxy.model import IncomingMessage, WorkspaceId
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.tasks import rules
from services.a2a_proxy.tasks.model import TaskOwner


class TaskAccess:
    """Applies the rules for tasks to callers and owners."""

    def __init__(self, route_cache: RouteCache) -> None:
        self._route_cache = route_cache

    def may_see(self, caller: TaskOwner, owner: TaskOwner) -> bool:
        """Whether a caller may see the tasks of an owner."""
        route = None if owner.workspace_id is None else self._route_cache.get(owner.workspace_id)
        return rules.may_see(caller, owner, None if route is None else route.org_id)

    def list_workspaces(self, caller: TaskOwner) -> Sequence[WorkspaceId]:
        """Return the workspaces whose tasks a caller sees who acts for an organisation; none for any other caller."""
        if caller.org_id is None or caller.token_id is not None:
            return ()
        return self._route_cache.list_organisation(WorkspaceId(caller.org_id))


def get_owner(incoming: IncomingMessage) -> TaskOwner:
    """Return the owner of what a caller makes."""
    return TaskOwner(incoming.caller, incoming.caller_org_id, incoming.caller_token_id)


def get_viewer(incoming: IncomingMessage) -> TaskOwner:
    """Return as whom a caller sees tasks: as itself, or as its organisation."""
    return TaskOwner(incoming.caller, incoming.caller_org_id) if incoming.sees_organisation else get_owner(incoming)
