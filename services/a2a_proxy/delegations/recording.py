"""Writes new and changed delegations, each with its activity rows, its event and the budget of its parent."""

from services.a2a_proxy.delegations import records, rules
from services.a2a_proxy.delegations.model import Delegation
from services.a2a_proxy.delegations.store import DelegationTransaction
from services.a2a_proxy.model import Activity


async def record_new(tx: DelegationTransaction, planned: Delegation, stored: Delegation) -> None:
    """Insert a delegation with its events, and reserve its budget. The caller writes the activity rows.

    `stored` is the delegation as it begins, `planned` as it was before it was known whether its target takes the task.
    """
    await tx.insert(stored)
    if stored.parent_id is not None and stored.budget is not None:
        await tx.reserve(stored.parent_id, stored.budget)
    events = [records.build_event(None, planned), records.build_event(planned, stored)]
    await tx.events.append([event for event in events if event is not None])


async def record_change(
    tx: DelegationTransaction, before: Delegation, after: Delegation, *, cost: int | None = 0
) -> list[Activity]:
    """Store a locked delegation after a change; returns the activity rows that are new.

    `cost` is what the target spent, in cents, if the delegation has ended; `None` if it did not say.
    """
    if after == before:
        return []
    await tx.update(after)
    if after.status is not before.status:
        await tx.activity.set_status(records.get_request_row_id(after), after.status.value)
        event = records.build_event(before, after)
        await tx.events.append([event] if event is not None else [])
    if before.is_open and not after.is_open:
        await _settle_budget(tx, after, cost)
    row = records.build_result_row(after)
    if row is None or row == records.build_result_row(before):
        return []
    if before.result_at is not None:
        await tx.activity.replace(row)
        return []
    await tx.activity.append([row])
    return [row]


async def _settle_budget(tx: DelegationTransaction, ended: Delegation, cost: int | None) -> None:
    """Release what the parent reserved, and charge what was spent, by the present account of the ended one."""
    if ended.parent_id is None or ended.budget is None:
        return
    present = await tx.find(ended.id) or ended
    await tx.settle(ended.parent_id, reserved=ended.budget, spent=rules.charge(present, cost))
