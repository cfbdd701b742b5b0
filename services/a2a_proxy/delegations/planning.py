"""Plans a new delegation: finds the delegation under which its source works, and applies the rules to both."""

from datetime import datetime

from services.a2a_proxy.delegations import lineage_token, records, rules
from services.a2a_proxy.delegations.errors import InvalidLineageToken, ParentEnded, TooManyDelegations
from services.a2a_proxy.delegations.model import Delegation, DelegationRequest
from services.a2a_proxy.delegations.store import DelegationTransaction
from services.a2a_proxy.model import WorkspaceId

MAX_INCOMING = 2
"""Delegations to a workspace that are looked at: one is its work, several are ambiguous."""


async def plan(
    tx: DelegationTransaction, request: DelegationRequest, *, via_inbox: bool, max_depth: int, now: datetime
) -> Delegation:
    """Decide everything about a new delegation; raises the refusals. Its parent is locked until it is stored."""
    await check_room(tx, request.source_id)
    parent = await find_parent(tx, request)
    above = [] if parent is None else await tx.list_above(parent)
    lineage = rules.build_lineage(parent, above, target=request.target_id, max_depth=max_depth)
    deadline = rules.choose_deadline(request.deadline_in, parent, now=now)
    budget = rules.choose_budget(request.budget, parent)
    return Delegation(
        id=request.id,
        delegation_id=request.id,
        source_id=request.source_id,
        target_id=request.target_id,
        root_id=request.id if parent is None else parent.root_id,
        parent_id=None if parent is None else parent.id,
        ancestors=lineage.ancestors,
        depth=lineage.depth,
        idempotency_key=request.idempotency_key or None,
        created_at=now,
        deadline=deadline,
        budget=budget,
        via_inbox=via_inbox,
        task_preview=records.cut_task(request.task),
    )


async def find_parent(tx: DelegationTransaction, request: DelegationRequest) -> Delegation | None:
    """Return the delegation under which the source works: that of its token, or the only one it has received.

    Raises `InvalidLineageToken`, `ParentEnded` for one that is erased, and `LineageRequired`.
    """
    if request.lineage_token:
        parent_id = lineage_token.verify(await tx.get_key(), request.lineage_token, request.source_id)
        if parent_id is None:
            raise InvalidLineageToken
    else:
        incoming = await tx.list_incoming(request.source_id, limit=MAX_INCOMING)
        chosen = rules.choose_parent(incoming)
        if chosen is None:
            return None
        parent_id = chosen.id
    locked = await tx.lock_delegations([parent_id])
    if not locked:
        raise ParentEnded
    return locked[0]


async def check_room(tx: DelegationTransaction, source: WorkspaceId) -> None:
    """Raise `TooManyDelegations` if the source may have no further open delegation."""
    if await tx.count_open(source, limit=rules.MAX_OPEN_PER_WORKSPACE) >= rules.MAX_OPEN_PER_WORKSPACE:
        raise TooManyDelegations
