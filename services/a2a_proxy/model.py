"""The types of the A2A proxy: routes, messages, outcomes of a dispatch, receipts and activity rows."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType, Protocol

from services.chassis.errors import ServiceError

WorkspaceId = NewType("WorkspaceId", str)

JsonObject = dict[str, Any]
"""A decoded JSON object."""


class Status(StrEnum):
    """The status of a workspace, as the registry reports it."""

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
    """Whether the proxy sends messages to an agent, or the agent polls for them."""

    PUSH = "push"
    POLL = "poll"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInterface:
    """An address at which an agent says that it serves A2A, and what it serves there."""

    url: str
    binding: str
    version: str
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class SecurityScheme:
    """A security scheme of an agent card, and the name of the secret that fulfils it; empty if none can."""

    kind: str
    """A kind of the registry's contract, e.g. `api_key_header`."""
    parameter: str = ""
    secret_key: str = ""


SecurityAlternative = tuple[SecurityScheme, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What the proxy needs to know about a workspace to send it a message."""

    workspace_id: WorkspaceId
    status: Status
    name: str = ""
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
    has_native_session: bool = False
    has_idempotent_delivery: bool = False
    """Whether the agent recognises a message that it receives a second time."""
    max_concurrent_tasks: int = 1
    has_native_scheduler: bool = False
    org_id: WorkspaceId | None = None
    idle_timeout: timedelta | None = None
    registered_at: datetime | None = None
    interfaces: tuple[AgentInterface, ...] = ()
    """What the card of the agent offers, in its order; none if the plane has not read it."""
    security: tuple[SecurityAlternative, ...] = ()
    """What the card requires of callers: one of these alternatives."""
    requires_security: bool = False
    """Whether the agent refuses callers without a credential."""
    extension_headers: tuple[str, ...] = ()
    """The headers that the extensions of the card name, in lower case."""
    hibernates_when_idle: bool = False
    """Whether the registry wants to know of its work."""
    is_idle_checked: bool = False
    """Whether the registry asks if it has work. It gets no message meanwhile, and does not hibernate if one waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRoute:
    """A route and whether the caller may write to it; the route is `None` for an unknown workspace."""

    route: Route | None
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSchedule:
    """A schedule that the template of a workspace declares; nothing of it is checked."""

    name: str
    cron_expr: str
    prompt: str
    timezone: str = "UTC"
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class AgentCredential:
    """What the plane presents to an agent that requires a credential of its own; nothing by default."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """By their names in lower case."""
    query: str = field(default="", repr=False)
    """Encoded parameters for the query of the address."""


NO_CREDENTIAL = AgentCredential()


@dataclass(frozen=True, slots=True)
class InboundSecret:
    """The secret that the plane presents to an agent, and whether auth has just created it because it was missing."""

    text: str = field(repr=False)
    is_healed: bool = False


@dataclass(frozen=True, slots=True)
class RouteChanged:
    """A feed update: the present route of a workspace, what its template declares, and the time of its status."""

    revision: int
    route: Route
    schedules: tuple[DeclaredSchedule, ...] = ()
    initial_prompt: str = ""
    status_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """A feed update: an agent sent a heartbeat, in which it reports so many active tasks."""

    revision: int
    workspace_id: WorkspaceId
    active_tasks: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotDone:
    """A feed update: the snapshot is complete; changes follow."""

    revision: int


@dataclass(frozen=True, slots=True)
class Keepalive:
    """A feed update without a change."""

    revision: int


WorkspaceUpdate = RouteChanged | HeartbeatReceived | SnapshotDone | Keepalive


class WaitingCaller(Protocol):
    """The caller of a message, for as long as it waits for the answer."""

    is_sent: bool
    """Whether the message may have reached the agent; the dispatch sets it."""

    @property
    def has_left(self) -> bool:
        """Whether the caller waits no more."""
        ...

    def add_listener(self, call: Callable[[], None]) -> None:
        """Have `call` called when the caller leaves."""
        ...

    def remove_listener(self, call: Callable[[], None]) -> None:
        """Have `call` called no more."""
        ...

    async def reserve_answer(self, size: int) -> None:
        """Wait until there is room for an answer of `size` bytes; raises `TimeoutError`."""
        ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a wait has to end, in seconds of the event loop, and how long it is in all."""

    at: float
    allowed: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingMessage:
    """A message as it arrived: sender, target, the unparsed body, and the headers that may be forwarded.

    `began_at` is when its caller began to wait, in seconds of the event loop. Nobody waits for a message without a
    `waiting` caller.
    """

    target: WorkspaceId
    caller: WorkspaceId | None
    body: bytes
    headers: Mapping[str, str]
    began_at: float
    timeout: str = ""
    request_id: str = ""
    waiting: WaitingCaller | None = field(default=None, repr=False, compare=False)
    caller_org_id: str | None = None
    """The organisation whose token the caller used; `None` for a workspace, and for callers of the whole plane."""
    caller_token_id: str | None = None
    """That token."""
    sees_organisation: bool = False
    """Whether that token sees what all callers of its organisation have made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReferences:
    """What a request says about tasks: which ones, in which context, and where push notifications go.

    `fault` is why the request is refused, if it is.
    """

    task_ids: tuple[str, ...] = ()
    continued_id: str | None = None
    """The task that a message continues."""
    context_id: str | None = None
    webhooks: tuple[str, ...] = ()
    fault: str = ""


NO_REFERENCES = TaskReferences()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The parsed part of a message, its complete body, and the A2A version that the caller states; empty for none."""

    method: str
    version: str
    body: bytes
    message_id: str | None = None
    is_idempotent: bool = False
    """Whether the sender declares that the agent may receive the message twice."""
    expires_in_seconds: int | None = None
    priority: int = 0
    is_json_rpc: bool = True
    """Whether the caller sent a JSON-RPC request, and no bare body."""
    references: TaskReferences = NO_REFERENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a caller prefers (RFC 7240): an answer at once, or no queueing because the target is busy."""

    respond_async: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """A decision: send the message to the agent's address."""

    address: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Poll:
    """A decision: store the message until the agent polls for it."""


class Absence(StrEnum):
    """Why a target cannot take a message now."""

    WAKING = "waking"
    """It is hibernated; the message wakes it."""

    STARTING = "starting"
    """Its instance starts."""

    RESTARTING = "restarting"
    """Its instance ended and is started again."""

    UNAVAILABLE = "unavailable"
    """It is paused, has failed, waits for its agent, or has no address."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A decision: the target cannot take the message now. `error` is the answer if the message is not stored."""

    absence: Absence
    error: ServiceError


Decision = Push | Poll | Absent


class SendState(StrEnum):
    """Whether the agent may have received a message that was not answered."""

    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """Why a dispatch brought no answer."""

    ADDRESS_REFUSED = "address_refused"
    """The address rules refuse the address."""

    CONNECT_FAILED = "connect_failed"
    """No connection, so no byte of the message was sent."""

    RESET = "reset"
    """The connection broke before the answer began."""

    IDLE_TIMEOUT = "idle_timeout"
    """The agent sent neither a byte nor a sign of life for the idle timeout."""

    DEADLINE_EXCEEDED = "deadline_exceeded"
    """The deadline of the call passed."""

    UNREADABLE = "unreadable"
    """The answer began, and then broke off, exceeded a limit or was no HTTP."""

    TOO_LARGE = "too_large"
    """The answer exceeds the limit on its size."""

    ENCODED = "encoded"
    """The answer is compressed, although the plane asks for the identity encoding, or it is not UTF-8."""

    INVALID_STATUS = "invalid_status"
    """The answer has a status that HTTP does not define."""

    TARGET_FULL = "target_full"
    """As many dispatches to the target are in progress as may be."""

    CALLER_LEFT = "caller_left"
    """The caller of a streaming method left before the answer began."""


@dataclass(frozen=True, slots=True)
class DispatchFailure:
    """A dispatch without an answer; `waited` or `size` is the limit that was exceeded, where there was one."""

    fault: Fault
    send_state: SendState
    waited: timedelta = timedelta()
    size: int = 0
    """In bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete HTTP answer of an agent."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A streamed HTTP answer. Its chunks end normally or with `StreamInterrupted`."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes, None]
    holds_request: bool = True
    """Whether the request stays in memory until the stream ends, because the activity log records both together."""


class StreamInterrupted(Exception):
    """The agent's stream broke off or exceeded a timeout."""


class StreamBroken(StreamInterrupted):
    """The connection to the agent broke in the middle of its stream."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An outcome: the agent answered, with a result or an error of its own."""

    answer: Answer | Stream


@dataclass(frozen=True, slots=True)
class Busy:
    """An outcome: the agent reports that it is busy, or its running instance accepts no connection.

    `retry_after` is the time that the agent names.
    """

    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SuspectedDead:
    """An outcome to be settled: the provisioner has to say whether the instance is alive."""

    result: Answer | DispatchFailure


@dataclass(frozen=True, slots=True)
class Failed:
    """An outcome: no answer."""

    error: ServiceError


Outcome = Answered | Busy | SuspectedDead | Failed


class InstanceCondition(StrEnum):
    """Whether an instance runs, as the provisioner reports it."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReceipt:
    """The receipt of a message that was answered; `agent_time` is the time the agent took."""

    answer: Answer | Stream
    agent_time: timedelta


class Acceptance(StrEnum):
    """Why a message was accepted instead of being answered."""

    POLL = "poll"
    """The target fetches its messages."""

    BUSY = "busy"
    """The target has no room for another task."""

    WAKING = "waking"
    STARTING = "starting"
    RESTARTING = "restarting"
    UNAVAILABLE = "unavailable"

    REQUESTED = "requested"
    """The caller prefers an answer at once."""

    RETRY = "retry"
    """The connection broke, and the message may be sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReceipt:
    """The receipt of a message that is stored, and delivered later or fetched by its agent.

    `depth` messages wait for the target. `earlier_state` is set if the same message had been accepted before.
    """

    queue_id: str
    method: str
    acceptance: Acceptance
    depth: int = 0
    earlier_state: str | None = None
    response: JsonObject | None = None
    """The JSON-RPC response with the task that stands for the message; `None` for a caller that gets none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReceipt:
    """The receipt of a message that was dispatched and not answered; `agent_time` is the time until then."""

    error: ServiceError
    agent_time: timedelta


Receipt = AnswerReceipt | QueueReceipt | FailureReceipt


class Source(StrEnum):
    """Who sent a message: a person or a tool (`canvas`), or a workspace (`agent`)."""

    CANVAS = "canvas"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One action of an agent, or one message to it, as the activity log stores it. Bodies are JSON texts."""

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
    """An event for present subscribers that is not stored. The payloads are JSON on one line.

    `announced_payload` has no content of messages, and is what other workspaces receive; with `None` they receive
    nothing.
    """

    event_type: str
    workspace_id: WorkspaceId
    at: datetime
    payload: bytes
    announced_payload: bytes | None = None


class StoredEventType(StrEnum):
    """The stored events of docs/spec/rest.md, 8.1, that arise in the proxy and are stored by the registry."""

    CRON_EXECUTED = "CRON_EXECUTED"
    CRON_SKIPPED = "CRON_SKIPPED"
    DELEGATION_SENT = "DELEGATION_SENT"
    DELEGATION_STATUS = "DELEGATION_STATUS"
    DELEGATION_COMPLETE = "DELEGATION_COMPLETE"
    DELEGATION_FAILED = "DELEGATION_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event about a workspace. `payload` is a JSON object of at most 64 KiB; the registry stores a UUID once."""

    id: str
    type: StoredEventType
    workspace_id: WorkspaceId
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityQuery:
    """Which rows of the activity log to return."""

    workspace_id: WorkspaceId
    activity_type: str | None = None
    source: Source | None = None
    since: datetime | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivitySearch:
    """Which text to look for in the activity of a workspace; empty for the newest rows."""

    workspace_id: WorkspaceId
    text: str = ""
    limit: int = 50
