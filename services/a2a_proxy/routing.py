"""Decides what happens to a message, from the route to its target (docs/spec/rest.md, 6.4, rows 2 to 4 and 8 to 10).

Row 11, the address check, needs the resolved host, so `agent_client` does it.
"""

from services.a2a_proxy.errors import (
    BudgetExceeded,
    CommunicationDenied,
    TargetUnavailable,
    TargetWaking,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.a2a_proxy.model import (
    Absence,
    Absent,
    Decision,
    DeliveryMode,
    Poll,
    Push,
    ResolvedRoute,
    Route,
    Status,
)

HIBERNATION_STATUSES = frozenset({Status.HIBERNATING, Status.HIBERNATED})
"""The next message wakes a workspace with one of these statuses."""

ABSENCES = {
    Status.PROVISIONING: Absence.STARTING,
    Status.PAUSED: Absence.UNAVAILABLE,
    Status.FAILED: Absence.UNAVAILABLE,
    Status.AWAITING_AGENT: Absence.UNAVAILABLE,
}
"""A workspace with one of these statuses has no agent that could answer."""


def check_route(found: ResolvedRoute) -> Route:
    """Return the route if the caller may write to the target; raises the reason why not.

    Permission is checked first, so that a caller without it does not learn whether the workspace exists.
    """
    if not found.allowed:
        raise CommunicationDenied
    route = found.route
    if route is None:
        raise WorkspaceNotFound
    if route.status is Status.REMOVED:
        raise WorkspaceRemoved
    if has_spent_budget(route):
        raise BudgetExceeded
    return route


def has_spent_budget(route: Route) -> bool:
    """Whether a workspace has spent as much as it may."""
    return route.budget_limit is not None and route.monthly_spend >= route.budget_limit


def hibernates(route: Route) -> bool:
    """Whether a workspace hibernates, or is about to: the next message wakes it."""
    return route.status in HIBERNATION_STATUSES or route.is_idle_checked


def decide(route: Route) -> Decision:
    """Decide whether a well-formed message is pushed, stored for polling, or cannot be delivered now."""
    if route.mode is DeliveryMode.POLL:
        return Poll()
    if hibernates(route):
        return Absent(Absence.WAKING, TargetWaking())
    if route.status in ABSENCES:
        return Absent(ABSENCES[route.status], _build_unavailable_error(route, f"workspace is {route.status}"))
    if route.status is Status.OFFLINE and not route.external:
        return Absent(Absence.RESTARTING, _build_unavailable_error(route, "workspace is offline"))
    if not route.address:
        return Absent(Absence.UNAVAILABLE, _build_unavailable_error(route, "workspace has no URL"))
    return Push(route.address, route.trusted)


def _build_unavailable_error(route: Route, text: str) -> TargetUnavailable:
    return TargetUnavailable(text, details={"status": str(route.status), "status_reason": route.status_reason})
