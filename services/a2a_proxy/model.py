"""The words of the post: routes, envelopes, outcomes, receipts, activity."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType

from services.chassis.errors import ServiceError

WorkspaceId = NewType("WorkspaceId", str)


class Status(StrEnum):
    """How a workspace is, as the registry says."""

    PROVISIONING = "provisioning"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    AWAITING_AGENT = "awaiting_agent"
    PAUSED = "paused"
    HIBERNATING = "hibernating"
    HIBERNATED = "hibernated"
    FAILED = "failed"
    REMOVED = "removed"


class DeliveryMode(StrEnum):
    """How messages reach an agent."""

    PUSH = "push"
    POLL = "poll"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a sender must know about a target."""

    workspace_id: WorkspaceId
    status: Status
    revision: int = 0
    status_reason: str = ""
    parent_id: WorkspaceId | None = None
    external: bool = False
    generation: int = 0
    mode: DeliveryMode = DeliveryMode.PUSH
    address: str = ""
    trusted: bool = False
    budget_limit: int | None = None
    monthly_spend: int = 0
    own_session: bool = False
    idle_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What the registry answers about a target and a caller; no route where it knows no such target."""

    route: Route | None
    allowed: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """A workspace is as its route says."""

    revision: int
    route: Route


@dataclass(frozen=True, slots=True)
class Pulse:
    """An agent is alive."""

    revision: int
    workspace_id: WorkspaceId


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All that was known when the watch began has been told."""

    revision: int


@dataclass(frozen=True, slots=True)
class Alive:
    """Nothing happened, and the feed would have told."""

    revision: int


News = Changed | Pulse | CaughtUp | Alive


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as it came in: who sends it to whom, the body nobody has read yet, and the headers that travel."""

    target: WorkspaceId
    caller: WorkspaceId | None
    body: bytes
    headers: Mapping[str, str]
    timeout: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What we read of a message, and what goes out: the body, and the A2A version it is written in."""

    method: str
    version: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Push:
    """The message goes to the agent's address."""

    address: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """The message is left for the agent to fetch."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The message goes nowhere."""

    error: ServiceError


Decision = Push | Leave | Refuse


class Sent(StrEnum):
    """Whether the agent may have seen a message that was not answered."""

    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """Why a dispatch brought no answer."""

    ADDRESS = "address"
    """The address may not be dialled."""

    UNREACHED = "unreached"
    """No connection: not a byte of the message has left."""

    RESET = "reset"
    """The connection broke before the answer began."""

    SILENT = "silent"
    """Neither a byte nor a sign of life for the idle time."""

    LATE = "late"
    """The deadline of the call has passed."""

    UNREADABLE = "unreadable"
    """The answer began, and broke off or was too large."""


@dataclass(frozen=True, slots=True)
class Break:
    """A dispatch without an answer. `after` is the span that was exhausted, where it was time that ran out."""

    fault: Fault
    sent: Sent
    after: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The whole answer of an agent."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer that flows. The chunks end by themselves, or with `StreamBroken`."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes, None]


class StreamBroken(Exception):
    """The agent broke off in the middle of its stream."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The agent has answered; that its answer is an error is its own affair."""

    answer: Answer | Stream


@dataclass(frozen=True, slots=True)
class Busy:
    """The agent says it has no room, or its instance lives and takes no connection."""


@dataclass(frozen=True, slots=True)
class Dead:
    """It looks as if there were no agent: whoever runs its instance must be asked what to make of `result`."""

    result: Answer | Break


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, and here is why."""

    error: ServiceError


Outcome = Answered | Busy | Dead | Failed


class Condition(StrEnum):
    """How an instance was found by the one who runs it."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """The receipt of a message that was answered; `took` is the agent's share of the time."""

    answer: Answer | Stream
    took: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The receipt of a message that waits to be fetched."""

    queue_id: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """The receipt of a message that was dispatched and brought no answer; `took` is the agent's share of the time."""

    error: ServiceError
    took: timedelta


Receipt = Replied | Left | Unanswered


class Source(StrEnum):
    """On which side a message came in."""

    CANVAS = "canvas"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One thing that an agent did or received, as the log keeps it. Bodies are JSON texts."""

    id: str
    workspace_id: WorkspaceId
    activity_type: str
    created_at: datetime
    status: str = "ok"
    source_id: WorkspaceId | None = None
    target_id: WorkspaceId | None = None
    method: str | None = None
    summary: str | None = None
    duration_ms: int | None = None
    error_detail: str | None = None
    request_body: str | None = None
    response_body: str | None = None
    tool_trace: str | None = None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Something told once, to whoever listens. `payload` is JSON on one line."""

    event_type: str
    workspace_id: WorkspaceId
    at: datetime
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityQuery:
    """Which rows of the log are wanted."""

    workspace_id: WorkspaceId
    activity_type: str | None = None
    source: Source | None = None
    since: datetime | None = None
    after: str | None = None
    limit: int = 100


JsonObject = dict[str, Any]
"""A JSON object as Python reads it."""
