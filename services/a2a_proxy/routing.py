"""What becomes of a message, by what is known of its target (docs/spec/rest.md, 6.4, rows 2 to 4 and 8 to 10).

Row 11 needs the name of the host resolved, so `agents` judges the address as it dials.
"""

from services.a2a_proxy.errors import (
    BudgetExceeded,
    CommunicationDenied,
    TargetUnavailable,
    TargetWaking,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.a2a_proxy.model import Decision, DeliveryMode, Leave, Push, Refuse, Resolved, Route, Status

ASLEEP = frozenset({Status.HIBERNATING, Status.HIBERNATED})
"""The next message wakes them."""

CLOSED = frozenset({Status.PROVISIONING, Status.PAUSED, Status.FAILED, Status.AWAITING_AGENT})
"""Nobody is there to answer."""


def admit(found: Resolved) -> Route:
    """The route, for a caller who may write to this target whatever the message says; raises why it may not.

    Permission comes first: who may not write to a workspace does not learn whether there is one.
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
    """Where a well-formed message goes: to the agent, on the pile of one who fetches, or nowhere."""
    if route.mode is DeliveryMode.POLL:
        return Leave()
    if route.status in ASLEEP:
        return Refuse(TargetWaking())
    if route.status in CLOSED or (route.status is Status.OFFLINE and not route.external):
        return Refuse(_unavailable(route, f"workspace is {route.status}"))
    if not route.address:
        return Refuse(_unavailable(route, "workspace has no URL"))
    return Push(route.address, route.trusted)


def _unavailable(route: Route, text: str) -> TargetUnavailable:
    return TargetUnavailable(text, details={"status": str(route.status), "status_reason": route.status_reason})
