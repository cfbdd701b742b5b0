"""The types of the queue: an accepted message, its states, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.a2a_proxy.model import Answer, WorkspaceId


class MessageState(StrEnum):
    """Where an accepted message is (docs/spec/delivery.md, 2)."""

    QUEUED = "queued"
    DISPATCHING = "dispatching"
    COMPLETED = "completed"
    UNKNOWN = "unknown"
    DEAD = "dead"
    EXPIRED = "expired"
    DROPPED = "dropped"


OPEN_STATES = frozenset({MessageState.QUEUED, MessageState.DISPATCHING})
"""The plane still works on the message."""

STUCK_STATES = frozenset({MessageState.DEAD, MessageState.UNKNOWN})
"""The message ended without being delivered, until somebody decides about it."""

UNDELIVERED_STATES = STUCK_STATES | {MessageState.EXPIRED, MessageState.DROPPED}
"""The message ended without an answer of its agent."""

HELD_STATES = OPEN_STATES | STUCK_STATES
"""The message may still be delivered, so its body is kept and it counts towards the limits of the queue."""

FINAL_STATES = frozenset(MessageState) - HELD_STATES
"""Nothing changes the message any more."""


class WaitReason(StrEnum):
    """Why a message waits."""

    BUSY = "busy"
    """The target has no room for another task."""

    WAKING = "waking"
    """The target was hibernated."""

    STARTING = "starting"
    """The instance of the target starts."""

    OFFLINE = "offline"
    """The instance of the target ended and is started again."""

    UNAVAILABLE = "unavailable"
    """The target is paused, has failed, waits for its agent, or has no address."""

    POLL = "poll"
    """The target fetches its messages."""

    REQUESTED = "requested"
    """The sender asked for an answer at once."""

    RETRY = "retry"
    """An attempt failed; another one follows."""

    BUDGET = "budget"
    """The target has spent its budget."""


class Result(StrEnum):
    """How a completed message ended: with a result, or with an error of the agent."""

    OK = "ok"
    ERROR = "error"


class LeaseKind(StrEnum):
    """Who has leased a message: a dispatch of this plane, or an agent that polls."""

    DISPATCH = "dispatch"
    INBOX = "inbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to deliver a message. `error` is a public text."""

    at: datetime
    generation: int
    outcome: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to be accepted. `body` is the normalised JSON-RPC request that goes to the agent."""

    id: str
    target_id: WorkspaceId
    caller_id: WorkspaceId | None
    caller_label: str | None = None
    """A caller that is no workspace, such as `system:restart-context`."""
    identity: bytes | None
    """SHA-256 of target, caller and message id; `None` for a message without an id."""
    digest: bytes
    """SHA-256 of the canonical params."""
    method: str
    headers: Mapping[str, str]
    """The headers for the agent."""
    body: bytes
    is_idempotent: bool = False
    """Whether the sender declared that the message may be delivered twice."""
    priority: int = 0
    reason: WaitReason
    expires_in: timedelta | None = None
    not_before_in: timedelta = timedelta()
    attempts: tuple[Attempt, ...] = ()
    is_logged: bool = True
    """Whether the message appears in the target's activity."""
    caller_org_id: str | None = None
    """The organisation whose token the caller used, if it is no workspace."""
    caller_token_id: str | None = None
    """That token."""
    context_id: str | None = None
    """The context of the task that stands for the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMessage:
    """An accepted message as it is stored. All times are those of the database."""

    id: str
    seq: int
    target_id: WorkspaceId
    caller_id: WorkspaceId | None
    caller_label: str | None
    digest: bytes
    method: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes
    size: int
    is_idempotent: bool
    is_logged: bool
    priority: int
    state: MessageState
    result: Result | None
    reason: WaitReason
    failures: int
    """Failed attempts; an answer that says busy is none."""
    busy_answers: int
    not_before: datetime
    accepted_at: datetime
    dispatched_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    lease_kind: LeaseKind | None
    lease_owner: str | None
    lease_generation: int
    lease_expires_at: datetime | None
    last_error: str | None
    answer_status: int | None
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    answer_body: bytes | None
    attempts: tuple[Attempt, ...] = ()
    caller_org_id: str | None = None
    caller_token_id: str | None = None
    context_id: str | None = None
    answer_state: str | None = None
    """The state of the task that the agent answered with, as A2A 0.3 writes it; `None` for any other answer."""


@dataclass(frozen=True, slots=True)
class Change:
    """A message before and after a transition. It takes effect if the stored message is still as before."""

    before: QueuedMessage
    after: QueuedMessage


@dataclass(frozen=True, slots=True)
class Accepted:
    """A result of accepting: the message is stored; `depth` messages wait for its target now."""

    id: str
    depth: int


@dataclass(frozen=True, slots=True)
class AlreadyAccepted:
    """A result of accepting: the same message was accepted before."""

    id: str
    state: MessageState


@dataclass(frozen=True, slots=True)
class IdReused:
    """A result of accepting: another message with this id was accepted before."""


@dataclass(frozen=True, slots=True)
class Full:
    """A result of accepting: a limit of the queue is reached, so nothing is stored."""


AcceptResult = Accepted | AlreadyAccepted | IdReused | Full


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How many messages the queue holds: for one target, from one caller, and their bytes for one target."""

    max_per_target: int
    max_per_caller: int
    max_bytes_per_target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the queue holds of one target or one caller."""

    messages: int = 0
    size: int = 0

    def add(self, size: int) -> "Usage":
        """Return the usage with one message more, of `size` bytes."""
        return Usage(messages=self.messages + 1, size=self.size + size)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A result of an attempt: the agent received the message. Its answer is `None` if it could not be read."""

    answer: Answer | None
    result: Result
    error: str = ""


@dataclass(frozen=True, slots=True)
class StillBusy:
    """A result of an attempt: the agent says that it is busy; `retry_after` is the time that it names."""

    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A result of an attempt: no answer. `may_have_arrived` if the agent may have seen the message."""

    error: str
    may_have_arrived: bool


@dataclass(frozen=True, slots=True)
class Postponed:
    """A result of an attempt that was not made, because it could not be decided whether it may be."""

    error: str


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A result of an attempt that was not made: the target must not have the message."""

    error: str


AttemptResult = Delivered | StillBusy | AttemptFailed | Postponed | Undeliverable


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The messages of one target, or of all: accepted ones, and how many of them are in each state."""

    target_id: WorkspaceId | None
    accepted: int
    counts: Mapping[MessageState, int]

    @property
    def is_balanced(self) -> bool:
        """Whether every accepted message is in exactly one state."""
        return self.accepted == sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTotals:
    """How many messages of all targets may still be delivered, by state, and how many accounts do not balance."""

    held: Mapping[MessageState, int]
    unbalanced: int | None
    """`None` before the first check of the accounts."""
