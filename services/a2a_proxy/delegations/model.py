"""The types of delegations: a delegation, its states, and what the answer of an agent means."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.a2a_proxy.model import WorkspaceId


class DelegationStatus(StrEnum):
    """Where a delegation is (docs/spec/delivery.md, 8)."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    QUEUED = "queued"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN_STATUSES = frozenset({DelegationStatus.PENDING, DelegationStatus.DISPATCHED, DelegationStatus.QUEUED})
"""The delegation has not ended; every other status is final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationRequest:
    """What a workspace asks for. `budget` is in cents of a US dollar."""

    id: str
    """The id of the new delegation; a repeated request has the same one."""
    source_id: WorkspaceId
    target_id: WorkspaceId
    task: str
    idempotency_key: str = ""
    lineage_token: str = ""
    deadline_in: timedelta | None = None
    budget: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A task that `source_id` gave to `target_id`. All times are those of the database."""

    id: str
    """A UUID. The message to the target has the same id."""
    delegation_id: str
    """The public id: `id`, or the text that an agent chose for a delegation that it recorded."""
    source_id: WorkspaceId
    target_id: WorkspaceId
    is_recorded: bool = False
    """The agent does the work itself and reports it; the plane sends nothing."""
    status: DelegationStatus = DelegationStatus.PENDING
    root_id: str
    parent_id: str | None = None
    ancestors: tuple[str, ...] = ()
    """The delegations above, from the root to the parent."""
    depth: int = 1
    """1 for a root."""
    idempotency_key: str | None = None
    created_at: datetime
    deadline: datetime
    result_at: datetime | None = None
    """When the target was found busy, or the delegation ended: since then there is a result row."""
    ended_at: datetime | None = None
    budget: int | None = None
    reserved: int = 0
    """What open delegations below may still spend."""
    spent: int = 0
    """What ended delegations below have spent."""
    is_at_work: bool = False
    """The target has the message."""
    was_busy: bool = False
    """The target had no room for the message at least once."""
    via_inbox: bool = False
    """The target fetches its messages."""
    task_id: str | None = None
    """The A2A task with which the target answered before it finished."""
    follow_up_id: str | None = None
    """The message that asks for the state of that task."""
    follow_ups: int = 0
    task_preview: str = ""
    text: str | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the delegation has not ended."""
        return self.status in OPEN_STATUSES

    @property
    def remaining_budget(self) -> int | None:
        """What further delegations below may reserve, in cents; `None` for no limit."""
        return None if self.budget is None else max(0, self.budget - self.reserved - self.spent)


@dataclass(frozen=True, slots=True)
class Delegated:
    """The result of a request: a delegation. `is_hit` if an earlier request with the same key made it."""

    delegation: Delegation
    is_hit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The result of a cancellation: the delegation, the ones that were cancelled, and those still at work."""

    delegation: Delegation
    cancelled: tuple[Delegation, ...] = ()
    not_stopped: tuple[Delegation, ...] = ()
    """Their agents have the message, and no task is known by which they could be asked to stop."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer: the agent has finished. `cost` is in cents, `None` if the agent does not report its usage."""

    text: str
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer: the agent has failed or refuses. The error is a public text."""

    error: str


@dataclass(frozen=True, slots=True)
class Working:
    """An answer: the agent works on a task, whose result has to be asked for."""

    task_id: str


Reading = Finished | Refused | Working


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationRow:
    """A line in the list of delegations: the request or the result of one."""

    id: str
    delegation: Delegation
    summary: str
    created_at: datetime
    is_result: bool
