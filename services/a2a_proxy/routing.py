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
from services.a2a_proxy.model import Decision, DeliveryMode, Poll, Push, Refusal, ResolvedRoute, Route, Status

HIBERNATION_STATUSES = frozenset({Status.HIBERNATING, Status.HIBERNATED})
"""The next message wakes a workspace with one of these statuses."""

UNAVAILABLE_STATUSES = frozenset({Status.PROVISIONING, Status.PAUSED, Status.FAILED, Status.AWAITING_AGENT})
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
    if route.budget_limit is not None and route.monthly_spend >= route.budget_limit:
        raise BudgetExceeded
    return route


def decide(route: Route) -> Decision:
    """Decide whether a well-formed message is pushed, stored for polling, or refused."""
    if route.mode is DeliveryMode.POLL:
        return Poll()
    if route.status in HIBERNATION_STATUSES:
        return Refusal(TargetWaking())
    if route.status in UNAVAILABLE_STATUSES or (route.status is Status.OFFLINE and not route.external):
        return Refusal(_build_unavailable_error(route, f"workspace is {route.status}"))
    if not route.address:
        return Refusal(_build_unavailable_error(route, "workspace has no URL"))
    return Push(route.address, route.trusted)


def _build_unavailable_error(route: Route, text: str) -> TargetUnavailable:
    return TargetUnavailable(text, details={"status": str(route.status), "status_reason": route.status_reason})
