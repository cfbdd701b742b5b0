"""Decides what becomes of a delegation: when its message changes, or by a command. An ended one never changes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from services.a2a_proxy.delegations.answers import read_answer
from services.a2a_proxy.delegations.model import (
    Delegation,
    DelegationStatus,
    Finished,
    Reading,
    Refused,
    Working,
)
from services.a2a_proxy.queue.model import MessageState, QueuedMessage, Result, WaitReason
from services.chassis.backoff import Backoff

FOLLOW_UP_BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=60))
"""Delay before the agent is asked for the state of its task."""

DEADLINE_ERROR = "delegation deadline passed"

UNDELIVERED_ERRORS = {
    MessageState.DEAD: "the target could not be reached",
    MessageState.UNKNOWN: "the connection broke before the target answered; it may have done the work",
    MessageState.EXPIRED: DEADLINE_ERROR,
    MessageState.DROPPED: "dropped from the queue",
}
"""The public error where the message has none."""

UNDELIVERED_STATUSES = {
    MessageState.DEAD: DelegationStatus.FAILED,
    MessageState.UNKNOWN: DelegationStatus.FAILED,
    MessageState.EXPIRED: DelegationStatus.EXPIRED,
    MessageState.DROPPED: DelegationStatus.CANCELLED,
}


def follow_message(delegation: Delegation, message: QueuedMessage, *, now: datetime) -> tuple[Delegation, int | None]:
    """Return an open delegation after a change of its message, and what its target spent if it has answered."""
    if not delegation.is_open:
        return delegation, 0
    match message.state:
        case MessageState.QUEUED:
            return return_to_queue(delegation, busy=message.reason is WaitReason.BUSY, now=now), 0
        case MessageState.DISPATCHING:
            return start_work(delegation), 0
        case MessageState.COMPLETED:
            return apply_reading(delegation, _read(message), now=now)
        case MessageState.DEAD | MessageState.UNKNOWN | MessageState.EXPIRED | MessageState.DROPPED as state:
            error = UNDELIVERED_ERRORS[state]
            if state is MessageState.DEAD and message.last_error:
                error = message.last_error
            return end(delegation, UNDELIVERED_STATUSES[state], error, now=now), 0
        case _:
            assert_never(message.state)


def follow_follow_up(delegation: Delegation, message: QueuedMessage, *, now: datetime) -> tuple[Delegation, int | None]:
    """Return an open delegation after a change of the message that asks for the state of its task.

    A question that was not answered is asked again, until the deadline.
    """
    if not delegation.is_open or message.state in {MessageState.QUEUED, MessageState.DISPATCHING}:
        return delegation, 0
    if message.state is MessageState.COMPLETED and message.answer_status is not None:
        return apply_reading(delegation, _read(message), now=now)
    return replace(delegation, follow_up_id=None), 0


def start_work(delegation: Delegation) -> Delegation:
    """Return a delegation whose message goes to the target.

    It stays *queued* if the target was busy before: it is *completed* next, not *dispatched* again and again.
    """
    status = delegation.status if delegation.was_busy else DelegationStatus.DISPATCHED
    return replace(delegation, status=status, is_at_work=True)


def return_to_queue(delegation: Delegation, *, busy: bool, now: datetime) -> Delegation:
    """Return a delegation whose message waits for its target, because the target is busy or for another reason."""
    was_busy = delegation.was_busy or busy
    result_at = (delegation.result_at or now) if was_busy else delegation.result_at
    queued = replace(delegation, status=DelegationStatus.QUEUED, is_at_work=False)
    return replace(queued, was_busy=was_busy, result_at=result_at)


def apply_reading(delegation: Delegation, reading: Reading, *, now: datetime) -> tuple[Delegation, int | None]:
    """Return a delegation after an answer of its target, and what the target spent."""
    match reading:
        case Finished(text, cost):
            return complete(delegation, text, now=now), cost
        case Refused(error):
            return end(delegation, DelegationStatus.FAILED, error, now=now), 0
        case Working(task_id):
            return replace(delegation, is_at_work=True, task_id=task_id, follow_up_id=None), 0
        case _:
            assert_never(reading)


def complete(delegation: Delegation, text: str, *, now: datetime) -> Delegation:
    """Return a delegation that has its result; unchanged if it has ended."""
    if not delegation.is_open:
        return delegation
    return replace(_end(delegation, DelegationStatus.COMPLETED, now), text=text)


def end(delegation: Delegation, status: DelegationStatus, error: str, *, now: datetime) -> Delegation:
    """Return a delegation that ends without a result; unchanged if it has ended."""
    if not delegation.is_open:
        return delegation
    return replace(_end(delegation, status, now), error=error)


def choose_follow_up_delay(delegation: Delegation) -> timedelta:
    """Return the time after which the agent is asked for the state of its task."""
    return FOLLOW_UP_BACKOFF.delay(delegation.follow_ups + 1)


def _end(delegation: Delegation, status: DelegationStatus, now: datetime) -> Delegation:
    return replace(
        delegation,
        status=status,
        ended_at=now,
        result_at=delegation.result_at or now,
        is_at_work=False,
        follow_up_id=None,
    )


def _read(message: QueuedMessage) -> Reading:
    """Return what the answer of a delivered message means; an error status is one even if its body has no error."""
    reading = read_answer(message.answer_body)
    if message.result is Result.ERROR and not isinstance(reading, Refused):
        return Refused(message.last_error or "the agent answered with an error")
    return reading
