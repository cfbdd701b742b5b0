"""Requests for consent: what may be asked, who decides, and until when (docs/spec/rest.md, 6.15)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.registry.notes.errors import InvalidNote
from services.registry.workspace.events import EventDraft, EventType
from services.registry.workspace.model import WorkspaceId

WAIT = timedelta(minutes=10)
"""How long a request waits for somebody; then the plane denies it."""

PLATFORM = "auto-expired"
"""Who decides then."""

HUMAN = "human"
"""Who decides where nobody says."""

ACTION_BYTES = 1000
REASON_BYTES = 8192
TASK_BYTES = 200
NAME_BYTES = 200
CONTEXT_BYTES = 64 * 1024

MOST = 100
"""Requests of a workspace that can wait at a time."""


class Decision(StrEnum):
    """What has become of a request."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request for consent. `context` is the text of a JSON object."""

    id: str
    workspace_id: WorkspaceId
    action: str
    created_at: datetime
    reason: str = ""
    task_id: str = ""
    context: str = "{}"
    decision: Decision = Decision.PENDING
    decided_by: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A request, and the name of the workspace that asks."""

    approval: Approval
    workspace_name: str = ""


def check(approval: Approval) -> None:
    """Raise `InvalidNote` for what cannot be asked."""
    if not approval.action:
        raise InvalidNote("invalid request body")
    for name, text, most in (
        ("action", approval.action, ACTION_BYTES),
        ("reason", approval.reason, REASON_BYTES),
        ("task_id", approval.task_id, TASK_BYTES),
        ("context", approval.context, CONTEXT_BYTES),
    ):
        _check_length(name, text, most)


def decision_of(text: str) -> Decision:
    """The decision that a text names; raises `InvalidNote`."""
    if text not in {Decision.APPROVED, Decision.DENIED}:
        raise InvalidNote("decision must be 'approved' or 'denied'")
    return Decision(text)


def decider_of(text: str) -> str:
    """Who decides, by what they call themselves; raises `InvalidNote`."""
    _check_length("decided_by", text, NAME_BYTES)
    return text or HUMAN


def decided(approval: Approval, decision: Decision, by: str, at: datetime) -> Approval:
    """The request, decided."""
    return replace(approval, decision=decision, decided_by=by, decided_at=at)


def asked(approval: Approval) -> EventDraft:
    """What is told of the workspace that asks."""
    return EventDraft(EventType.APPROVAL_REQUESTED, _about(approval) | {"task_id": approval.task_id})


def escalated(approval: Approval) -> EventDraft:
    """What is told of the workspace above it."""
    return EventDraft(EventType.APPROVAL_ESCALATED, _about(approval) | {"from_workspace_id": approval.workspace_id})


def settled(approval: Approval) -> EventDraft:
    """What is told of a decision."""
    kind = EventType.APPROVAL_APPROVED if approval.decision is Decision.APPROVED else EventType.APPROVAL_DENIED
    told = {"approval_id": approval.id, "decision": approval.decision.value, "decided_by": approval.decided_by}
    return EventDraft(kind, told)


def _about(approval: Approval) -> dict[str, str]:
    return {"approval_id": approval.id, "action": approval.action, "reason": approval.reason}


def _check_length(name: str, text: str, most: int) -> None:
    if "\0" in text:
        raise InvalidNote("invalid request body")
    if len(text.encode()) > most:
        raise InvalidNote(f"{name} must be <= {most} bytes")
