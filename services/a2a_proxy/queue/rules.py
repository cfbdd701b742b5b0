"""Decides what becomes of an accepted message (docs/spec/delivery.md, 2 and 5)."""

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import assert_never

import msgspec

from services.a2a_proxy.answered_tasks import find_task
from services.a2a_proxy.model import Answer, WorkspaceId
from services.a2a_proxy.queue.model import (
    HELD_STATES,
    Attempt,
    AttemptFailed,
    AttemptResult,
    Delivered,
    LeaseKind,
    MessageState,
    NewMessage,
    Postponed,
    QueuedMessage,
    QueueLimits,
    Result,
    StillBusy,
    Undeliverable,
    Usage,
    WaitReason,
)
from services.chassis import strict_json
from services.chassis.backoff import Backoff

MAX_FAILURES = 5
"""Failed attempts after which a message is dead."""

MAX_LISTED_ATTEMPTS = 20
"""The last attempts that are stored with a message."""

RETRY_BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=60))
"""Delay between two attempts."""

MAX_RETRY_AFTER = timedelta(minutes=10)
"""Longest delay that an agent can ask for."""

UNDECIDED_DELAY = timedelta(seconds=2)
"""Delay of a message of which could not be decided whether it may be delivered."""

ROW_BYTES = 512
"""Bytes that a message occupies besides its body."""

GIVEN_BACK = "given back"
"""The outcome of an attempt whose error is the text of the agent."""

GIVEN_BACK_TEXT = "given back by the agent"

LEASE_LOST = "the process that delivered it stopped before the outcome was known"


def build_identity(target: WorkspaceId, caller: str | None, message_id: str) -> bytes:
    """Return the identity of a message: a second message with the same one is not accepted again."""
    return sha256("\n".join((target, caller or "", message_id)).encode(errors="surrogatepass")).digest()


def build_digest(body: bytes) -> bytes:
    """Return the SHA-256 of the params of a request in canonical form: sorted members, no blanks."""
    params = strict_json.find_member(body, "params") or b"null"
    return sha256(_CANONICAL.encode(strict_json.parse(params))).digest()


def measure(message: NewMessage) -> int:
    """Return the bytes that a message occupies in the queue."""
    return len(message.body) + ROW_BYTES


def has_room(message: NewMessage, target: Usage, caller: Usage, limits: QueueLimits) -> bool:
    """Whether the queue may hold another message of this target and caller.

    A target that polls is limited by bytes only: it may read its messages from the activity without ending them.
    """
    if target.size + measure(message) > limits.max_bytes_per_target:
        return False
    if message.reason is WaitReason.POLL:
        return True
    return target.messages < limits.max_per_target and caller.messages < limits.max_per_caller


def settle(
    message: QueuedMessage, result: AttemptResult, *, repeatable: bool, now: datetime, jitter: float
) -> QueuedMessage:
    """Return a leased message after an attempt to deliver it.

    `repeatable` says whether the agent may receive the message twice; `jitter` in [0, 1] spreads the retries.
    """
    match result:
        case Delivered(answer, outcome, error):
            ended = _note(_end(message, MessageState.COMPLETED, now=now, result=outcome), now, str(outcome), error)
            return ended if answer is None else _keep_answer(ended, answer)
        case StillBusy(retry_after):
            busy = message.busy_answers + 1
            wanted = min(retry_after or timedelta(), MAX_RETRY_AFTER)
            delay = max(RETRY_BACKOFF.delay(busy, jitter), wanted)
            waiting = _release(message, WaitReason.BUSY, now + delay)
            return replace(_note(waiting, now, "busy"), busy_answers=busy)
        case AttemptFailed(error, may_have_arrived=True) if not repeatable:
            return _note(_end(message, MessageState.UNKNOWN, now=now), now, "unknown", error)
        case AttemptFailed(error):
            return _fail(message, "failed", error, now=now, jitter=jitter)
        case Postponed(error):
            return replace(_release(message, WaitReason.RETRY, now + UNDECIDED_DELAY), last_error=error)
        case Undeliverable(error):
            return _note(_end(message, MessageState.DEAD, now=now), now, "refused", error)
        case _:
            assert_never(result)


def expire_lease(message: QueuedMessage, *, repeatable: bool, now: datetime, jitter: float) -> QueuedMessage:
    """Return a message whose lease has expired.

    A dispatch sends as soon as it has its lease, so the agent may have received the message. A message that an agent
    has fetched is offered to it again.
    """
    if message.lease_kind is LeaseKind.INBOX:
        return _fail(message, "lease expired", "not acknowledged in time", now=now, jitter=None)
    if repeatable:
        return _fail(message, "lease expired", LEASE_LOST, now=now, jitter=jitter)
    return _note(_end(message, MessageState.UNKNOWN, now=now), now, "lease expired", LEASE_LOST)


def expire(message: QueuedMessage, *, now: datetime) -> QueuedMessage:
    """Return a queued message whose time is over."""
    return replace(_end(message, MessageState.EXPIRED, now=now), last_error=message.last_error or "expired")


def acknowledge(message: QueuedMessage, answer: bytes | None, *, result: Result, now: datetime) -> QueuedMessage:
    """Return a message that an agent has fetched and handled; `answer` is its JSON-RPC result, if it gave one."""
    ended = _end(message, MessageState.COMPLETED, now=now, result=result)
    noted = _note(ended, now, "acknowledged")
    return replace(noted, answer_status=200, answer_body=answer, answer_state=_read_state(answer))


def give_back(message: QueuedMessage, *, delay: timedelta, error: str, now: datetime) -> QueuedMessage:
    """Return a message that an agent has fetched and does not handle now."""
    failed = _fail(message, GIVEN_BACK, error or GIVEN_BACK_TEXT, now=now, jitter=None)
    return replace(failed, not_before=now + delay) if failed.state is MessageState.QUEUED else failed


def requeue(message: QueuedMessage, *, now: datetime) -> QueuedMessage:
    """Return a dead or unknown message that is to be delivered again, with all its attempts before it."""
    waiting = _release(message, WaitReason.RETRY, now)
    return replace(_note(waiting, now, "requeued"), failures=0, busy_answers=0, ended_at=None)


def resolve(message: QueuedMessage, note: str, *, now: datetime) -> QueuedMessage:
    """Return a dead or unknown message of which an operator says that it needs no delivery."""
    ended = _end(message, MessageState.COMPLETED, now=now, result=Result.OK)
    return replace(_note(ended, now, "resolved"), last_error=note or message.last_error)


def drop(message: QueuedMessage, note: str, *, now: datetime) -> QueuedMessage:
    """Return a message that is not to be delivered; `note` says why."""
    dropped = _end(message, MessageState.DROPPED, now=now)
    error = "; ".join(text for text in (message.last_error, note) if text)
    return replace(_note(dropped, now, "dropped", note), last_error=error)


def describe_end(message: QueuedMessage) -> str:
    """Return why a message ended in one of UNDELIVERED_STATES. It repeats no text of an agent."""
    last = message.attempts[-1] if message.attempts else None
    error = last.error if last is not None and last.outcome != GIVEN_BACK else ""
    match message.state:
        case MessageState.EXPIRED:
            return "its time was over before it was delivered"
        case MessageState.UNKNOWN:
            return "; ".join(text for text in (error, "the agent may have received it") if text)
        case MessageState.DEAD if message.failures >= MAX_FAILURES:
            return f"{message.failures} attempts failed, the last one: {error or GIVEN_BACK_TEXT}"
        case _:
            return error


def _fail(message: QueuedMessage, outcome: str, error: str, *, now: datetime, jitter: float | None) -> QueuedMessage:
    """Count a failed attempt. Without `jitter` the next one may follow at once."""
    failures = message.failures + 1
    if failures >= MAX_FAILURES:
        ended = _end(message, MessageState.DEAD, now=now)
    else:
        delay = timedelta() if jitter is None else RETRY_BACKOFF.delay(failures, jitter)
        reason = WaitReason.POLL if message.lease_kind is LeaseKind.INBOX else WaitReason.RETRY
        ended = _release(message, reason, now + delay)
    return replace(_note(ended, now, outcome, error), failures=failures)


def _end(message: QueuedMessage, state: MessageState, *, now: datetime, result: Result | None = None) -> QueuedMessage:
    """End a message, without its lease; its body is kept only while it may be delivered again."""
    body = message.body if state in HELD_STATES else b""
    return replace(
        message,
        state=state,
        result=result,
        ended_at=now,
        body=body,
        lease_kind=None,
        lease_owner=None,
        lease_expires_at=None,
    )


def _keep_answer(message: QueuedMessage, answer: Answer) -> QueuedMessage:
    return replace(
        message,
        answer_status=answer.status,
        answer_headers=answer.headers,
        answer_body=answer.body,
        answer_state=_read_state(answer.body),
    )


def _read_state(answer: bytes | None) -> str | None:
    """Return the state of the task that is the answer, or that its last event tells; `None` for any other answer."""
    task = None if answer is None else find_task(answer)
    return None if task is None else task.state


def _release(message: QueuedMessage, reason: WaitReason, not_before: datetime) -> QueuedMessage:
    return replace(
        message,
        state=MessageState.QUEUED,
        reason=reason,
        not_before=not_before,
        lease_kind=None,
        lease_owner=None,
        lease_expires_at=None,
    )


def _note(message: QueuedMessage, now: datetime, outcome: str, error: str = "") -> QueuedMessage:
    """Add an attempt to the history of a message; an error becomes its last one."""
    attempt = Attempt(at=now, generation=message.lease_generation, outcome=outcome, error=error)
    attempts = (*message.attempts, attempt)[-MAX_LISTED_ATTEMPTS:]
    return replace(message, attempts=attempts, last_error=error or message.last_error)


_CANONICAL = msgspec.json.Encoder(order="sorted", enc_hook=lambda number: msgspec.Raw(number.text.encode()))
"""Writes members in the order of their names; the hook writes the numbers that a double cannot hold."""
