"""The errors of the A2A proxy. Messages and details are those of docs/spec/rest.md, 6.4 and 6.6."""

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
"""The package of the contract that lists these reasons in `ErrorReason`."""


BUSY_DELAY = timedelta(seconds=30)
"""When a caller of a busy agent may try again, if the agent does not say."""


class CommunicationDenied(PermissionDenied):
    """The hierarchy does not allow these two workspaces to communicate."""

    domain = DOMAIN
    reason = "COMMUNICATION_DENIED"
    message = "access denied: workspaces cannot communicate per hierarchy rules"


class WorkspaceNotFound(NotFound):
    """The workspace does not exist."""

    domain = DOMAIN
    reason = "WORKSPACE_NOT_FOUND"
    message = "workspace not found"


class WorkspaceRemoved(FailedPrecondition):
    """The workspace was removed."""

    domain = DOMAIN
    reason = "WORKSPACE_REMOVED"
    message = "workspace removed"


class BudgetExceeded(ResourceExhausted):
    """The workspace has spent its budget."""

    domain = DOMAIN
    reason = "BUDGET_EXCEEDED"
    message = "workspace budget limit exceeded"


class MalformedMessage(InvalidArgument):
    """The request is malformed; details that hold a JSON-RPC error are the whole response."""

    domain = DOMAIN
    reason = "MALFORMED_MESSAGE"


class LoopDetected(FailedPrecondition):
    """The message has passed through planes too often: an agent's address leads back to a plane."""

    domain = DOMAIN
    reason = "LOOP_DETECTED"
    message = "message loop: the message has passed through planes too often"


class TargetUnavailable(Unavailable):
    """The target cannot take a message in its present status; details: status, status_reason."""

    domain = DOMAIN
    reason = "TARGET_UNAVAILABLE"


class TargetWaking(Unavailable):
    """The target was hibernated and is being started."""

    domain = DOMAIN
    reason = "TARGET_WAKING"
    message = "workspace is waking from hibernation — retry in ~15 seconds"

    def __init__(self) -> None:
        """Set when to try again."""
        super().__init__(details={"retry_after": 15, "waking": True}, retry_in=timedelta(seconds=15))


class AddressRefused(FailedPrecondition):
    """The address rules refuse the target's address."""

    domain = DOMAIN
    reason = "ADDRESS_REFUSED"
    message = "workspace URL is not publicly routable"


class AgentRestarting(Unavailable):
    """The agent's instance is gone and is being restarted."""

    domain = DOMAIN
    reason = "AGENT_RESTARTING"
    message = "workspace agent unreachable — container restart triggered"

    def __init__(self, delivery: str) -> None:
        """Set when to try again, and whether the old instance may have received the message."""
        super().__init__(details={"restarting": True, "delivery": delivery}, retry_in=timedelta(seconds=15))


class AgentUnreachable(Unavailable):
    """No connection to the agent, or a broken one; details: delivery."""

    domain = DOMAIN
    reason = "AGENT_UNREACHABLE"
    message = "failed to reach workspace agent"


class InboundSecretRefused(Unavailable):
    """The agent refused the plane's inbound secret; details: delivery."""

    domain = DOMAIN
    reason = "INBOUND_SECRET_REFUSED"
    message = "workspace agent refused the plane's inbound secret: restart the agent, or register it again"

    def __init__(self) -> None:
        """Say that the agent has not taken the message."""
        super().__init__(details={"delivery": "not_sent"})


class AgentBusy(Unavailable):
    """The agent is busy."""

    domain = DOMAIN
    reason = "AGENT_BUSY"
    message = "workspace agent busy — retry after a short backoff"

    def __init__(self, retry_after: timedelta | None = None) -> None:
        """Set when to try again: after the time that the agent names, or after the usual one."""
        delay = retry_after or BUSY_DELAY
        super().__init__(details={"busy": True, "retry_after": round(delay.total_seconds())}, retry_in=delay)


class AgentBusyWithSession(Unavailable):
    """The agent is busy, and has a native session that queues its work."""

    domain = DOMAIN
    reason = "AGENT_BUSY"
    message = "workspace agent busy — adapter handles retry (native_session)"

    def __init__(self, retry_after: timedelta | None = None) -> None:
        """Set when to try again: after the time that the agent names, or after the usual one."""
        delay = retry_after or BUSY_DELAY
        details = {"busy": True, "native_session": True, "retry_after": round(delay.total_seconds())}
        super().__init__(details=details, retry_in=delay)


class MessageIdReused(FailedPrecondition):
    """Another message with this id was accepted from this caller for this target."""

    domain = DOMAIN
    reason = "MESSAGE_ID_REUSED"
    message = "message id reused with different content"


class QueueItemNotFound(NotFound):
    """No queued message with this id that the caller may see."""

    domain = DOMAIN
    reason = "QUEUE_ITEM_NOT_FOUND"
    message = "queue item not found"


class WrongQueueState(FailedPrecondition):
    """The state of the queued message does not allow the operation; details: status."""

    domain = DOMAIN
    reason = "WRONG_QUEUE_STATE"

    def __init__(self, state: str) -> None:
        """Name the state."""
        super().__init__(f"queue item is {state}", details={"status": state})


class InvalidQueueRequest(InvalidArgument):
    """A parameter of a request about the queue is invalid."""

    domain = DOMAIN
    reason = "INVALID_QUEUE_REQUEST"


class StaleReceipt(FailedPrecondition):
    """The receipt does not belong to the present lease of the message."""

    domain = DOMAIN
    reason = "STALE_RECEIPT"
    message = "receipt is stale: the lease has ended"


class AgentIdle(DeadlineExceeded):
    """The agent was silent for the idle timeout; details: idle_seconds, delivery."""

    domain = DOMAIN
    reason = "AGENT_IDLE"
    message = "agent idle timeout"


class CallDeadlineExceeded(DeadlineExceeded):
    """The deadline of the caller, or the one for workspaces, passed; details: timeout_seconds, delivery."""

    domain = DOMAIN
    reason = "CALL_DEADLINE_EXCEEDED"
    message = "request deadline exceeded"


class AnswerUnreadable(Unavailable):
    """The answer broke off or exceeded the limit; details: delivery_confirmed."""

    domain = DOMAIN
    reason = "ANSWER_UNREADABLE"
    message = "failed to read agent response"


class InvalidActivityQuery(InvalidArgument):
    """A parameter of an activity query is invalid."""

    domain = DOMAIN
    reason = "INVALID_ACTIVITY_QUERY"


class InboxFull(ResourceExhausted):
    """The messages that wait for a polling agent occupy as many bytes as a workspace may store."""

    domain = DOMAIN
    reason = "INBOX_FULL"
    message = "workspace inbox full"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(details={"max_bytes": max_bytes})


class ActivityCursorGone(NotFound):
    """The cursor names no stored row of this workspace."""

    domain = DOMAIN
    reason = "ACTIVITY_CURSOR_GONE"
    message = "since_id not found"
