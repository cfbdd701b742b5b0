"""Converts between protobuf and the types of the queue."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from google.protobuf.duration_pb2 import Duration

from protos.a2a_proxy.v1 import inbox_pb2, queue_pb2
from services.a2a_proxy.errors import InvalidQueueRequest, QueueItemNotFound
from services.a2a_proxy.queue.inbox import build_receipt
from services.a2a_proxy.queue.model import Account, Attempt, MessageState, QueuedMessage, QueueTotals
from services.chassis import pages
from services.chassis.timestamps import timedelta_from_duration, timestamp_from_datetime

MAX_WAIT = timedelta(seconds=60)
"""Longest time that a call waits for a message."""

DEFAULT_LEASE = timedelta(seconds=60)

MIN_LEASE = timedelta(seconds=1)

MAX_LEASE = timedelta(hours=1)

MAX_DELAY = timedelta(days=1)
"""Longest delay of a message that an agent returns."""

MAX_NOTE_LENGTH = 1000
"""Characters of a note or a reason."""


MAX_POSITION_DIGITS = 18
"""Digits of the largest number of a message in a page token."""


def parse_states(states: Sequence[int]) -> list[MessageState]:
    """Return the states of a request; raises `InvalidQueueRequest`."""
    known = [_STATES[state] for state in states if state in _STATES]
    if len(known) < len(list(states)):
        raise InvalidQueueRequest("unknown state")
    return known


def parse_message_id(id_: str) -> str:
    """Return the id of a message; raises `QueueItemNotFound` for a text that is no id."""
    try:
        return str(UUID(id_))
    except ValueError:
        raise QueueItemNotFound from None


def parse_before(page_token: str) -> int | None:
    """Return the number before which a page begins; raises `InvalidPageToken`."""
    if not page_token:
        return None
    (position,) = pages.decode_page_token(page_token, 1)
    if not (position.isascii() and position.isdigit() and len(position) <= MAX_POSITION_DIGITS):
        raise pages.InvalidPageToken
    return int(position)


def parse_age(age: Duration) -> timedelta:
    """Return the age of stale messages; raises `InvalidQueueRequest`."""
    span = timedelta_from_duration(age)
    if span <= timedelta():
        raise InvalidQueueRequest("max_age_minutes must be a positive integer")
    return span


def parse_wait(wait: Duration) -> timedelta:
    """Return how long a call waits for a message."""
    return min(max(timedelta_from_duration(wait), timedelta()), MAX_WAIT)


def parse_lease(lease: Duration | None) -> timedelta:
    """Return the length of a lease; raises `InvalidQueueRequest`."""
    if lease is None:
        return DEFAULT_LEASE
    span = timedelta_from_duration(lease)
    if not MIN_LEASE <= span <= MAX_LEASE:
        raise InvalidQueueRequest("lease_seconds must be an integer from 1 to 3600")
    return span


def parse_delay(delay: Duration) -> timedelta:
    """Return the delay of a message that an agent returns; raises `InvalidQueueRequest`."""
    span = timedelta_from_duration(delay)
    if not timedelta() <= span <= MAX_DELAY:
        raise InvalidQueueRequest("delay_seconds must be an integer from 0 to 86400")
    return span


def parse_note(note: str) -> str:
    """Return a note of a caller; raises `InvalidQueueRequest`."""
    if len(note) > MAX_NOTE_LENGTH or "\0" in note:
        raise InvalidQueueRequest(f"note must be at most {MAX_NOTE_LENGTH} characters")
    return note


def message_to_proto(message: QueuedMessage, *, with_bodies: bool = False) -> queue_pb2.QueuedMessage:
    """Return a message as protobuf, if asked for with its answer, or with its request while there is no answer."""
    answer = message.answer_body if with_bodies else None
    return queue_pb2.QueuedMessage(
        id=message.id,
        workspace_id=message.target_id,
        caller_id=message.caller_id,
        method=message.method,
        state=_NUMBERS[message.state],
        reason=message.reason.value,
        result=message.result.value if message.result else None,
        attempts=message.failures,
        last_error=message.last_error,
        priority=message.priority,
        accepted_at=timestamp_from_datetime(message.accepted_at),
        dispatched_at=timestamp_from_datetime(message.dispatched_at) if message.dispatched_at else None,
        ended_at=timestamp_from_datetime(message.ended_at) if message.ended_at else None,
        expires_at=timestamp_from_datetime(message.expires_at) if message.expires_at else None,
        not_before=timestamp_from_datetime(message.not_before) if message.state is MessageState.QUEUED else None,
        history=[_attempt_to_proto(attempt) for attempt in message.attempts],
        body=message.body if with_bodies and message.body and not answer else None,
        response_body=answer or None,
    )


def account_to_proto(account: Account) -> queue_pb2.QueueAccount:
    """Return the account of one target as protobuf."""
    counts = {state.value: count for state, count in account.counts.items()}
    return queue_pb2.QueueAccount(workspace_id=account.target_id or "", accepted=account.accepted, **counts)


def totals_to_proto(totals: QueueTotals) -> queue_pb2.CountQueuedMessagesResponse:
    """Return the totals of all targets as protobuf."""
    return queue_pb2.CountQueuedMessagesResponse(
        counts=[queue_pb2.QueueStateCount(state=_NUMBERS[state], count=count) for state, count in totals.held.items()],
        unbalanced_accounts=totals.unbalanced,
    )


def inbox_message_to_proto(message: QueuedMessage) -> inbox_pb2.InboxMessage:
    """Return a leased message as protobuf."""
    return inbox_pb2.InboxMessage(
        id=message.id,
        receipt=build_receipt(message),
        message=message.body,
        caller_id=message.caller_id,
        attempts=message.failures,
        lease_expires_at=timestamp_from_datetime(message.lease_expires_at) if message.lease_expires_at else None,
        expires_at=timestamp_from_datetime(message.expires_at) if message.expires_at else None,
        accepted_at=timestamp_from_datetime(message.accepted_at),
    )


def _attempt_to_proto(attempt: Attempt) -> queue_pb2.DeliveryAttempt:
    return queue_pb2.DeliveryAttempt(
        at=timestamp_from_datetime(attempt.at), outcome=attempt.outcome, error=attempt.error
    )


_NUMBERS = {state: queue_pb2.QueueState.Value(f"QUEUE_STATE_{state.name}") for state in MessageState}

_STATES: dict[int, MessageState] = {number: state for state, number in _NUMBERS.items()}
