"""The errors of the A2A proxy. Messages and details are those of docs/spec/rest.md, 6.4, 6.6 and 6.13."""

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


class TooManyLargeMessages(Unavailable):
    """The large messages in progress occupy as much memory as they may."""

    domain = DOMAIN
    reason = "TOO_MANY_LARGE_MESSAGES"
    message = "too many large messages in progress — retry after a short backoff"

    def __init__(self) -> None:
        """Set when to try again, and say that nothing was sent."""
        super().__init__(
            details={"busy": True, "retry_after": 5, "delivery": "not_sent"}, retry_in=timedelta(seconds=5)
        )


class CallerLeft(Unavailable):
    """The caller left before the answer began, so the plane ended the dispatch; details: delivery."""

    domain = DOMAIN
    reason = "CALLER_LEFT"
    message = "caller left before the answer began"


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


class InvalidActivity(InvalidArgument):
    """A row that an agent reports is invalid."""

    domain = DOMAIN
    reason = "INVALID_ACTIVITY"
    message = "invalid request body"


class ForeignSource(PermissionDenied):
    """A workspace reports a row that came from another workspace."""

    domain = DOMAIN
    reason = "FOREIGN_SOURCE"
    message = "source_id must match authenticated workspace"


class InvalidAgentMessage(InvalidArgument):
    """A message of an agent to people is invalid."""

    domain = DOMAIN
    reason = "INVALID_AGENT_MESSAGE"
    message = "message is required"


class SearchTimeout(Unavailable):
    """A search took too long, or too many others are under way."""

    domain = DOMAIN
    reason = "SEARCH_TIMEOUT"
    message = "search took too long — retry shortly, or look for a longer text"

    def __init__(self) -> None:
        """Set when to try again."""
        super().__init__(retry_in=timedelta(seconds=5))


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


class StreamEventsGone(NotFound):
    """The events after a position in a stream are not kept any more, or are none of the caller's."""

    domain = DOMAIN
    reason = "STREAM_EVENTS_GONE"
    message = "stream events no longer available"


class WorkspaceUnreachable(Unavailable):
    """The agent of a workspace did not answer about a file, or not as HTTP and the contract of agents have it."""

    domain = DOMAIN
    reason = "AGENT_UNREACHABLE"
    message = "workspace unreachable"


class AgentCredentialUnavailable(Unavailable):
    """The agent requires a credential of the plane, and auth does not tell it now."""

    domain = DOMAIN
    reason = "AGENT_CREDENTIAL_UNAVAILABLE"
    message = "the credential for the agent cannot be read now, retry later"

    def __init__(self) -> None:
        """Say that nothing was sent."""
        super().__init__(details={"delivery": "not_sent", "retry_after_seconds": 5}, retry_in=timedelta(seconds=5))


class InboundSecretHealed(Unavailable):
    """The inbound secret was missing and has just been created; the agent learns it when it registers."""

    domain = DOMAIN
    reason = "INBOUND_SECRET_HEALED"
    message = "workspace credentials are being synchronised, retry in 30 s"

    def __init__(self, operation: str) -> None:
        """Set when to try again; `operation` is `upload` or `download`."""
        super().__init__(details={"retry_after_seconds": 30, "detail": operation}, retry_in=timedelta(seconds=30))


class InboundSecretUnavailable(Unavailable):
    """The inbound secret is missing and could not be created."""

    domain = DOMAIN
    reason = "INBOUND_SECRET_UNAVAILABLE"
    message = "workspace credentials unavailable — Reprovision the workspace"

    def __init__(self, operation: str) -> None:
        """`operation` is `upload` or `download`."""
        super().__init__(details={"detail": operation})


class InvalidFilePath(InvalidArgument):
    """No file of a workspace that clients may read has this path."""

    domain = DOMAIN
    reason = "INVALID_FILE_PATH"
    message = "invalid path"


class FileMissing(NotFound):
    """The workspace has no such file."""

    domain = DOMAIN
    reason = "FILE_NOT_FOUND"
    message = "file not found"


class UploadInterrupted(InvalidArgument):
    """The body of an upload broke off."""

    domain = DOMAIN
    reason = "UPLOAD_INTERRUPTED"
    message = "upload interrupted"


class TooManyFileTransfers(ResourceExhausted):
    """The workspace has as many uploads and downloads as it may have at once."""

    domain = DOMAIN
    reason = "TOO_MANY_FILE_TRANSFERS"
    message = "too many file transfers"

    def __init__(self, limit: int) -> None:
        """Set when to try again."""
        super().__init__(details={"limit": limit}, retry_in=timedelta(seconds=5))


class InvalidSchedule(InvalidArgument):
    """A field of a schedule is invalid; details: detail, for the expression."""

    domain = DOMAIN
    reason = "INVALID_SCHEDULE"


class ScheduleNotFound(NotFound):
    """The workspace has no such schedule."""

    domain = DOMAIN
    reason = "SCHEDULE_NOT_FOUND"
    message = "schedule not found"


class ScheduleNameExists(FailedPrecondition):
    """The workspace has a schedule with this name."""

    domain = DOMAIN
    reason = "SCHEDULE_NAME_EXISTS"
    message = "schedule name already exists"


class TooManySchedules(FailedPrecondition):
    """The workspace has as many schedules as it may have."""

    domain = DOMAIN
    reason = "TOO_MANY_SCHEDULES"
    message = "too many schedules"

    def __init__(self, limit: int) -> None:
        super().__init__(details={"limit": limit})


class PushTargetNotFound(NotFound):
    """No target of push notifications has this secret."""

    domain = DOMAIN
    reason = "PUSH_TARGET_NOT_FOUND"
    message = "unknown push notification address"


class InvalidNotification(InvalidArgument):
    """The body is no push notification about the task of its target."""

    domain = DOMAIN
    reason = "INVALID_NOTIFICATION"


class TooManyNotifications(ResourceExhausted):
    """As many push notifications of the workspace wait as may."""

    domain = DOMAIN
    reason = "TOO_MANY_NOTIFICATIONS"
    message = "too many push notifications wait for their receivers"

    def __init__(self) -> None:
        """Set when to try again."""
        super().__init__(retry_in=timedelta(seconds=30))
