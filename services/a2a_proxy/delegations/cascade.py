"""Ends delegations with everything that was delegated below them: cancelled, overdue, or of a removed workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from services.a2a_proxy.delegations import messages, transitions
from services.a2a_proxy.delegations.model import Delegation, DelegationStatus
from services.a2a_proxy.delegations.recording import record_change
from services.a2a_proxy.delegations.store import DelegationTransaction
from services.a2a_proxy.model import Activity
from services.a2a_proxy.queue import rules as queue_rules
from services.a2a_proxy.queue.model import (
    Change,
    MessageState,
    NewMessage,
    QueuedMessage,
    QueueLimits,
    WaitReason,
)

CANCELLATION_LIFETIME = timedelta(days=1)
"""Time for which a cancellation waits for an agent that is away."""

CANCELLATION_PRIORITY = 10
"""Cancellations overtake all other messages of a target."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a cascade has ended; `not_stopped` are those whose agents work on and cannot be stopped."""

    ended: tuple[Delegation, ...]
    not_stopped: tuple[Delegation, ...]
    rows: tuple[Activity, ...]
    """New activity rows, to be announced after the commit."""


async def end_with_descendants(
    tx: DelegationTransaction,
    delegations: Sequence[Delegation],
    status: DelegationStatus,
    error: str,
    *,
    limits: QueueLimits,
) -> Ended:
    """End open delegations and all open ones below them: queued messages are dropped, tasks at work are cancelled.

    The transaction holds the writer lock, so nothing is delegated below them meanwhile.
    """
    if not delegations:
        return Ended((), (), ())
    found = {delegation.id: delegation for delegation in [*delegations, *await tx.list_open_below(delegations)]}
    message_ids = [id_ for one in found.values() for id_ in (one.id, one.follow_up_id) if id_ is not None]
    held = await tx.queue.lock_each(message_ids)
    present = [one for one in await tx.lock_delegations(list(found)) if one.is_open]
    now = await tx.queue.now()
    ended, rows = [], []
    for before in sorted(present, key=lambda one: -one.depth):  # what is below is settled first
        after = transitions.end(before, status, error, now=now)
        rows += await record_change(tx, before, after)
        ended.append(after)
    waiting = [message for message in held if message.state is MessageState.QUEUED]
    drops = [Change(message, queue_rules.drop(message, error, now=now)) for message in waiting]
    await tx.queue.apply(drops)
    at_work = {message.id: message for message in held if message.state is MessageState.DISPATCHING}
    told = [one for one in present if one.task_id is not None]
    if told:
        await tx.queue.accept([_build_cancellation(one) for one in told], limits)
        await tx.queue.notify()
    not_stopped = [one for one in ended if one.task_id is None and _is_at_work(one, at_work)]
    return Ended(tuple(ended), tuple(not_stopped), tuple(rows))


def _is_at_work(delegation: Delegation, at_work: dict[str, QueuedMessage]) -> bool:
    return delegation.is_recorded or delegation.id in at_work


def _build_cancellation(delegation: Delegation) -> NewMessage:
    request_id = str(uuid4())
    body = messages.build_cancellation(request_id, delegation.task_id or "")
    return NewMessage(
        id=request_id,
        target_id=delegation.target_id,
        caller_id=delegation.source_id,
        caller_label=messages.CANCEL_LABEL,
        identity=None,
        digest=queue_rules.build_digest(body),
        method=messages.CANCEL_TASK,
        headers=messages.HEADERS,
        body=body,
        is_idempotent=True,
        priority=CANCELLATION_PRIORITY,
        reason=WaitReason.POLL if delegation.via_inbox else WaitReason.REQUESTED,
        expires_in=CANCELLATION_LIFETIME,
        is_logged=False,
    )
