"""What the post can refuse. Messages and details are those of docs/spec/rest.md, 6.4 and 6.6."""

from datetime import timedelta

from services.chassis.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

DOMAIN = "molecule.a2a_proxy.v1"
"""The package of the contract whose `ErrorReason` these are."""


class CommunicationDenied(PermissionDenied):
    """The hierarchy does not let these two communicate."""

    domain = DOMAIN
    reason = "COMMUNICATION_DENIED"
    message = "access denied: workspaces cannot communicate per hierarchy rules"


class WorkspaceNotFound(NotFound):
    """No such workspace."""

    domain = DOMAIN
    reason = "WORKSPACE_NOT_FOUND"
    message = "workspace not found"


class WorkspaceRemoved(FailedPrecondition):
    """The workspace has been removed."""

    domain = DOMAIN
    reason = "WORKSPACE_REMOVED"
    message = "workspace removed"


class BudgetExceeded(ResourceExhausted):
    """The workspace has spent its budget."""

    domain = DOMAIN
    reason = "BUDGET_EXCEEDED"
    message = "workspace budget limit exceeded"


class MalformedMessage(InvalidArgument):
    """The request itself is wrong; where details hold a JSON-RPC error, they are the whole answer."""

    domain = DOMAIN
    reason = "MALFORMED_MESSAGE"


class TargetUnavailable(Unavailable):
    """The target cannot take a message now; details: status, status_reason."""

    domain = DOMAIN
    reason = "TARGET_UNAVAILABLE"


class TargetWaking(Unavailable):
    """The target is asleep."""

    domain = DOMAIN
    reason = "TARGET_WAKING"
    message = "workspace is waking from hibernation — retry in ~15 seconds"

    def __init__(self) -> None:
        """Say when it will be awake."""
        super().__init__(details={"retry_after": 15, "waking": True}, retry_in=timedelta(seconds=15))


class AddressRefused(FailedPrecondition):
    """The address of the target may not be dialled."""

    domain = DOMAIN
    reason = "ADDRESS_REFUSED"
    message = "workspace URL is not publicly routable"


class AgentRestarting(Unavailable):
    """The agent is gone and is being started anew."""

    domain = DOMAIN
    reason = "AGENT_RESTARTING"
    message = "workspace agent unreachable — container restart triggered"

    def __init__(self, delivery: str) -> None:
        """Say when it will be back, and whether the old one may have seen the message."""
        super().__init__(details={"restarting": True, "delivery": delivery}, retry_in=timedelta(seconds=15))


class AgentUnreachable(Unavailable):
    """No connection, or a broken one; details: delivery."""

    domain = DOMAIN
    reason = "AGENT_UNREACHABLE"
    message = "failed to reach workspace agent"


class AgentBusy(Unavailable):
    """The agent has no room."""

    domain = DOMAIN
    reason = "AGENT_BUSY"
    message = "workspace agent busy — retry after a short backoff"

    def __init__(self) -> None:
        """Say when to come again."""
        super().__init__(details={"busy": True, "retry_after": 30}, retry_in=timedelta(seconds=30))


class AgentBusyWithSession(Unavailable):
    """The agent has no room, and orders its work itself."""

    domain = DOMAIN
    reason = "AGENT_BUSY"
    message = "workspace agent busy — adapter handles retry (native_session)"

    def __init__(self) -> None:
        """Say when to come again."""
        details = {"busy": True, "native_session": True, "retry_after": 30}
        super().__init__(details=details, retry_in=timedelta(seconds=30))


class AgentIdle(DeadlineExceeded):
    """The agent was silent too long; details: idle_seconds, delivery."""

    domain = DOMAIN
    reason = "AGENT_IDLE"
    message = "agent idle timeout"


class CallDeadlineExceeded(DeadlineExceeded):
    """The caller's deadline, or that of calls between workspaces, has passed; details: timeout_seconds, delivery."""

    domain = DOMAIN
    reason = "CALL_DEADLINE_EXCEEDED"
    message = "request deadline exceeded"


class AnswerUnreadable(Unavailable):
    """The answer broke off or was too large; details: delivery_confirmed."""

    domain = DOMAIN
    reason = "ANSWER_UNREADABLE"
    message = "failed to read agent response"


class InvalidActivityQuery(InvalidArgument):
    """A query of the log that cannot be meant."""

    domain = DOMAIN
    reason = "INVALID_ACTIVITY_QUERY"


class ActivityCursorGone(NotFound):
    """The cursor names no row of this workspace that is still kept."""

    domain = DOMAIN
    reason = "ACTIVITY_CURSOR_GONE"
    message = "since_id not found"
