"""The types of a chaos run: the messages that were sent, what agents received, and what the plane says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class AgentKind(StrEnum):
    """How an agent behaves."""

    ECHO = "echo"
    """It answers at once."""

    SLOW = "slow"
    """It answers after a while."""

    BUSY = "busy"
    """It says that it is busy, in each of the ways it may, and takes a message now and then."""

    SILENT = "silent"
    """It takes a message and never answers."""

    CLOSING = "closing"
    """It takes a message and closes the connection without an answer."""

    DYING = "dying"
    """It closes the connection in the middle of its answer."""

    HALF = "half"
    """It sends half of its answer and nothing more."""

    TWICE = "twice"
    """It sends its answer twice."""

    GARBAGE = "garbage"
    """Its answer is no HTTP."""

    LARGE = "large"
    """Its answer has nearly 10 MiB, or a little more than the plane accepts."""

    ENDLESS = "endless"
    """Its answer ends with the connection, which it never closes."""

    POLL = "poll"
    """It has no address and fetches its messages from the inbox."""


class SendMode(StrEnum):
    """What the sender asks for."""

    DIRECT = "direct"
    """An answer of the agent; a busy agent may have the message later."""

    STRICT = "strict"
    """An answer of the agent, and nothing stored because it is busy."""

    RESPOND_ASYNC = "respond_async"
    """An acceptance at once. The sender repeats the request until it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A workspace that receives messages."""

    id: str
    kind: AgentKind
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message and how it is sent. `caller_id` is `None` for a sender that is no workspace."""

    id: str
    target_id: str
    kind: AgentKind
    mode: SendMode
    is_repeatable: bool
    caller_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the plane answered to one request. `status` is `None` if the connection ended without an answer."""

    status: int | None
    queue_id: str | None = None
    delivery: str | None = None
    """`not_sent` or `unknown`, where the plane says so."""
    is_busy: bool = False
    is_own: bool = True
    """Whether an agent's answer names the message."""
    text: str = ""
    """The beginning of an answer that is an error."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message, and the answers to every request with it, in their order."""

    message: Message
    responses: Sequence[Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message as the plane stores it. `message_id` is `None` if no sender used such an identity."""

    queue_id: str
    message_id: str | None
    target_id: str
    state: str
    result: str | None = None
    history: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The messages of one target as the plane counts them; `target_id` is empty for the sums."""

    target_id: str
    accepted: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that a verdict rests on."""

    sent: Mapping[str, SentMessage]
    """By message id."""
    arrivals: Mapping[str, int]
    """How often each message id arrived at an agent that took it."""
    acknowledged: frozenset[str]
    """Queue ids of the messages whose acknowledgement the plane confirmed."""
    stored: Sequence[StoredMessage]
    accounts: Sequence[Account]
    total: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that was broken, and by which message; `detail` is for people."""

    rule: str
    message_id: str = ""
    queue_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The figures of a run, and the promises that were broken."""

    sent: int
    answered: int
    """Messages that an agent answered while their sender waited."""
    unanswered: int
    """Messages of which the sender never learnt anything."""
    accepted: int
    delivered: int
    """Accepted messages that arrived at their agent."""
    duplicates: int
    """Arrivals of a message after its first one."""
    unsafe_duplicates: int
    """Those of messages that may not be repeated."""
    completed: int
    unknown: int
    dead: int
    expired: int
    dropped: int
    lost: int
    violations: Sequence[Violation] = ()
