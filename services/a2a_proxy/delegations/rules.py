"""Limits, lineage, deadlines and budgets of new delegations (docs/spec/rest.md, 6.5; docs/spec/delivery.md, 8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.a2a_proxy.delegations.errors import (
    CycleRefused,
    DeadlinePassed,
    DelegationBudgetExceeded,
    DepthLimitExceeded,
    InvalidDelegation,
    LineageRequired,
    ParentEnded,
)
from services.a2a_proxy.delegations.model import Delegation, DelegationRequest
from services.a2a_proxy.model import WorkspaceId

MAX_TASK_BYTES = 1024 * 1024

MAX_KEY_LENGTH = 200
"""Characters of the longest idempotency key."""

MAX_ID_LENGTH = 128
"""Characters of the longest id that an agent chooses for a delegation that it records."""

MAX_LIFETIME = timedelta(days=7)
"""The longest deadline, and that of a delegation without one."""

MAX_BUDGET = 10**12
"""The largest budget, in cents."""

MAX_OPEN_PER_WORKSPACE = 1000
"""Open delegations of one source."""

MAX_ENDED_PER_WORKSPACE = 1000
"""Ended delegations of one source that are kept; the oldest of more are erased."""

MAX_LISTED = 50
"""Rows of the list of a workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The place of a new delegation in the tree of delegations. A root has no parent."""

    parent: Delegation | None
    ancestors: tuple[str, ...]
    depth: int


def check_request(request: DelegationRequest) -> None:
    """Raise `InvalidDelegation` if a field of a request breaks a rule."""
    check_task(request.task)
    if request.source_id == request.target_id:
        raise InvalidDelegation("self-delegation not permitted")
    if len(request.idempotency_key) > MAX_KEY_LENGTH:
        raise InvalidDelegation(f"idempotency_key must be <= {MAX_KEY_LENGTH} characters")
    if request.deadline_in is not None and not timedelta() < request.deadline_in <= MAX_LIFETIME:
        raise InvalidDelegation(f"deadline_seconds must be from 1 to {MAX_LIFETIME // timedelta(seconds=1)}")
    if request.budget is not None and not 0 < request.budget <= MAX_BUDGET:
        raise InvalidDelegation(f"budget must be from 1 to {MAX_BUDGET}")


def check_task(task: str) -> None:
    """Raise `InvalidDelegation` for a task that is empty or too long."""
    if not task:
        raise InvalidDelegation
    if len(task.encode()) > MAX_TASK_BYTES:
        raise InvalidDelegation(f"task must be <= {MAX_TASK_BYTES} bytes")


def check_recorded_id(delegation_id: str) -> None:
    """Raise `InvalidDelegation` for an id of an agent that is empty or too long."""
    if not 0 < len(delegation_id) <= MAX_ID_LENGTH:
        raise InvalidDelegation(f"delegation_id must be 1 to {MAX_ID_LENGTH} characters")


def choose_parent(incoming: Sequence[Delegation]) -> Delegation | None:
    """Return the delegation under which a workspace without a token works; raises `LineageRequired` for several.

    `incoming` are the open delegations to the workspace that it has received. A guess among several of them could hide
    a cycle.
    """
    if len(incoming) > 1:
        raise LineageRequired
    return incoming[0] if incoming else None


def build_lineage(
    parent: Delegation | None, above: Sequence[Delegation], *, target: WorkspaceId, max_depth: int
) -> Lineage:
    """Return the lineage of a delegation to `target`; raises the refusal of a parent, a depth or a cycle.

    `above` are the stored ancestors of the parent, from the root on. A workspace that takes part in an open one of
    them, as source or as target, waits or works there, so it cannot take a part of the same work.
    """
    if parent is None:
        return Lineage(parent=None, ancestors=(), depth=1)
    if not parent.is_open:
        raise ParentEnded
    depth = parent.depth + 1
    if depth > max_depth:
        raise DepthLimitExceeded
    chain = list_participants([*above, parent])
    if target in chain:
        raise CycleRefused([*chain, target])
    return Lineage(parent=parent, ancestors=(*parent.ancestors, parent.id), depth=depth)


def list_participants(line: Sequence[Delegation]) -> list[WorkspaceId]:
    """Return the workspaces of the open delegations of a line, from the root on, each once."""
    found = [id_ for delegation in line if delegation.is_open for id_ in (delegation.source_id, delegation.target_id)]
    return list(dict.fromkeys(found))


def choose_deadline(requested: timedelta | None, parent: Delegation | None, *, now: datetime) -> datetime:
    """Return the deadline of a delegation: its own or that of its parent, whichever is earlier.

    Raises `DeadlinePassed`.
    """
    own = now + (MAX_LIFETIME if requested is None else min(requested, MAX_LIFETIME))
    if parent is None:
        return own
    if parent.deadline <= now:
        raise DeadlinePassed
    return min(own, parent.deadline)


def choose_budget(requested: int | None, parent: Delegation | None) -> int | None:
    """Return the budget of a delegation, which its parent reserves; `None` for no limit.

    Without a request it is all that the parent has left. Raises `DelegationBudgetExceeded` if the parent has less left
    than requested, or nothing.
    """
    remaining = None if parent is None else parent.remaining_budget
    if remaining is None:
        return requested
    wanted = remaining if requested is None else requested
    if wanted > remaining or remaining == 0:
        raise DelegationBudgetExceeded(remaining)
    return wanted


def charge(child: Delegation, own_cost: int | None) -> int:
    """Return what an ended delegation has spent of the budget that its parent reserved for it, in cents.

    `own_cost` is what the target itself spent; `None` if it did not say, and then the whole budget counts as spent.
    What open delegations below have reserved counts as spent.
    """
    budget = child.budget or 0
    if own_cost is None:
        return budget
    return min(budget, own_cost + child.spent + child.reserved)
