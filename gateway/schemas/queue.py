"""Accepted messages, their accounts, and the inbox of an agent that polls."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from gateway.schemas.request_model import NonEmptyText, RequestModel
from protos.a2a_proxy.v1 import inbox_pb2, queue_pb2

STATES = {
    name.removeprefix("QUEUE_STATE_").lower(): number
    for name, number in queue_pb2.QueueState.items()
    if number != queue_pb2.QUEUE_STATE_UNSPECIFIED
}
"""The states of an accepted message by their public names."""

_NAMES = {number: name for name, number in STATES.items()}

QueueStateName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(STATES)})]

OptionalTime = Literal["dispatched_at", "ended_at", "expires_at", "not_before"]

Seconds = Annotated[int, Field(ge=0, le=86_400)]


class QueueNote(RequestModel):
    """Body of the routes with which an operator ends a message."""

    note: Annotated[str, Field(max_length=1000)] = ""


class Acknowledgement(RequestModel):
    """Body of POST /workspaces/{id}/inbox/{messageId}/ack."""

    receipt: NonEmptyText
    result: Any = None
    error: dict[str, Any] | None = None


class ReturnedMessage(RequestModel):
    """Body of POST /workspaces/{id}/inbox/{messageId}/nack."""

    receipt: NonEmptyText
    delay_seconds: Seconds = 0
    reason: Annotated[str, Field(max_length=1000)] = ""


class LeaseExtension(RequestModel):
    """Body of POST /workspaces/{id}/inbox/{messageId}/extend."""

    receipt: NonEmptyText
    lease_seconds: Annotated[int, Field(ge=1, le=3600)] = 60


class QueuedMessageStatus(TypedDict):
    """What its sender and its target see of an accepted message."""

    queue_id: str
    workspace_id: str
    caller_id: str | None
    method: str
    status: QueueStateName
    result: str | None
    attempts: int
    last_error: str | None
    enqueued_at: DateTime
    dispatched_at: DateTime | None
    completed_at: DateTime | None
    expires_at: DateTime | None
    response_body: NotRequired[Any]


class DeliveryAttempt(TypedDict):
    """One attempt to deliver a message, or a command of an operator."""

    at: DateTime
    outcome: str
    error: NotRequired[str]


class QueuedMessageDetail(TypedDict):
    """What operators see of an accepted message."""

    queue_id: str
    workspace_id: str
    caller_id: str | None
    method: str
    status: QueueStateName
    reason: str
    result: str | None
    priority: int
    attempts: int
    last_error: str | None
    history: list[DeliveryAttempt]
    enqueued_at: DateTime
    not_before: DateTime | None
    dispatched_at: DateTime | None
    completed_at: DateTime | None
    expires_at: DateTime | None
    request_body: NotRequired[Any]
    response_body: NotRequired[Any]


class QueueCounts(TypedDict):
    """Accepted messages by state; `accepted` is counted by itself, and `balanced` says whether the sum is the same."""

    accepted: int
    queued: int
    dispatching: int
    completed: int
    unknown: int
    dead: int
    expired: int
    dropped: int
    balanced: bool


class QueueAccount(QueueCounts):
    """The accepted messages of one target."""

    workspace_id: str


class QueueAccounts(TypedDict):
    """The accepted messages of each target, and of all together."""

    total: QueueCounts
    targets: list[QueueAccount]


class DropResult(TypedDict):
    """How many messages were dropped."""

    dropped: int


class InboxMessage(TypedDict):
    """A leased message."""

    id: str
    receipt: str
    message: Any
    caller_id: str | None
    attempts: int
    enqueued_at: DateTime
    lease_expires_at: DateTime
    expires_at: DateTime | None


class InboxResult(TypedDict):
    """What became of a leased message."""

    id: str
    status: Annotated[str, WithJsonSchema({"type": "string", "enum": ["acknowledged", "returned"]})]


class LeaseResult(TypedDict):
    """Until when a lease holds."""

    id: str
    lease_expires_at: DateTime


def render_state(state: queue_pb2.QueueState.ValueType) -> str:
    """Return the public name of a state."""
    return _NAMES[state]


def render_status(message: queue_pb2.QueuedMessage) -> QueuedMessageStatus:
    """Return an accepted message as its sender and its target see it."""
    status = QueuedMessageStatus(
        queue_id=message.id,
        workspace_id=message.workspace_id,
        caller_id=message.caller_id if message.HasField("caller_id") else None,
        method=message.method,
        status=_NAMES[message.state],
        result=message.result if message.HasField("result") else None,
        attempts=message.attempts,
        last_error=message.last_error if message.HasField("last_error") else None,
        enqueued_at=json_format.format_timestamp(message.accepted_at),
        dispatched_at=_format_optional(message, "dispatched_at"),
        completed_at=_format_optional(message, "ended_at"),
        expires_at=_format_optional(message, "expires_at"),
    )
    if message.HasField("response_body"):
        status["response_body"] = json_format.embed_stored(message.response_body)
    return status


def render_detail(message: queue_pb2.QueuedMessage) -> QueuedMessageDetail:
    """Return an accepted message as operators see it."""
    detail = QueuedMessageDetail(
        queue_id=message.id,
        workspace_id=message.workspace_id,
        caller_id=message.caller_id if message.HasField("caller_id") else None,
        method=message.method,
        status=_NAMES[message.state],
        reason=message.reason,
        result=message.result if message.HasField("result") else None,
        priority=message.priority,
        attempts=message.attempts,
        last_error=message.last_error if message.HasField("last_error") else None,
        history=[_render_attempt(attempt) for attempt in message.history],
        enqueued_at=json_format.format_timestamp(message.accepted_at),
        not_before=_format_optional(message, "not_before"),
        dispatched_at=_format_optional(message, "dispatched_at"),
        completed_at=_format_optional(message, "ended_at"),
        expires_at=_format_optional(message, "expires_at"),
    )
    if message.HasField("body"):
        detail["request_body"] = json_format.embed_stored(message.body)
    if message.HasField("response_body"):
        detail["response_body"] = json_format.embed_stored(message.response_body)
    return detail


def render_accounts(accounts: list[queue_pb2.QueueAccount]) -> QueueAccounts:
    """Return the accounts of targets, and their sums."""
    total = queue_pb2.QueueAccount()
    for account in accounts:
        for name in ("accepted", *STATES):
            setattr(total, name, getattr(total, name) + getattr(account, name))
    return QueueAccounts(total=_render_counts(total), targets=[_render_account(account) for account in accounts])


def render_inbox_message(message: inbox_pb2.InboxMessage) -> InboxMessage:
    """Return a leased message."""
    return InboxMessage(
        id=message.id,
        receipt=message.receipt,
        message=json_format.embed_stored(message.message),
        caller_id=message.caller_id if message.HasField("caller_id") else None,
        attempts=message.attempts,
        enqueued_at=json_format.format_timestamp(message.accepted_at),
        lease_expires_at=json_format.format_timestamp(message.lease_expires_at),
        expires_at=json_format.format_timestamp(message.expires_at) if message.HasField("expires_at") else None,
    )


def _render_account(account: queue_pb2.QueueAccount) -> QueueAccount:
    return QueueAccount(workspace_id=account.workspace_id, **_render_counts(account))


def _render_counts(account: queue_pb2.QueueAccount) -> QueueCounts:
    return QueueCounts(
        accepted=account.accepted,
        queued=account.queued,
        dispatching=account.dispatching,
        completed=account.completed,
        unknown=account.unknown,
        dead=account.dead,
        expired=account.expired,
        dropped=account.dropped,
        balanced=account.accepted == sum(getattr(account, name) for name in STATES),
    )


def _render_attempt(attempt: queue_pb2.DeliveryAttempt) -> DeliveryAttempt:
    rendered = DeliveryAttempt(at=json_format.format_timestamp(attempt.at), outcome=attempt.outcome)
    if attempt.error:
        rendered["error"] = attempt.error
    return rendered


def _format_optional(message: queue_pb2.QueuedMessage, name: OptionalTime) -> str | None:
    return json_format.format_timestamp(getattr(message, name)) if message.HasField(name) else None
