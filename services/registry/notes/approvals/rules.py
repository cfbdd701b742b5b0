"""Requests for consent: what may be asked, who decides, and until when (docs/spec/rest.md, 6.15)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.registry.notes.errors import InvalidNote
from services.registry.workspace.events import EventType, Notice
from services.registry.workspace.model import WorkspaceId

DECISION_TIMEOUT = timedelta(minutes=10)
"""How long a request waits for somebody; then the plane denies it."""

PLATFORM_DECIDER = "auto-expired"
"""Who decides then."""

DEFAULT_DECIDER = "human"
"""Who decides where nobody says."""

MAX_ACTION_BYTES = 1000
MAX_REASON_BYTES = 8192
MAX_TASK_ID_BYTES = 200
MAX_DECIDER_BYTES = 200
MAX_CONTEXT_BYTES = 64 * 1024

MAX_PENDING_APPROVALS_PER_WORKSPACE = 100
"""Requests of a workspace that can wait at a time."""


class ApprovalDecision(StrEnum):
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
    decision: ApprovalDecision = ApprovalDecision.PENDING
    decided_by: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedApproval:
    """A request, and the name of the workspace that asks."""

    approval: Approval
    workspace_name: str = ""


def check_approval(approval: Approval) -> None:
    """Raise `InvalidNote` for what cannot be asked."""
    if not approval.action:
        raise InvalidNote("invalid request body")
    for name, text, most in (
        ("action", approval.action, MAX_ACTION_BYTES),
        ("reason", approval.reason, MAX_REASON_BYTES),
        ("task_id", approval.task_id, MAX_TASK_ID_BYTES),
        ("context", approval.context, MAX_CONTEXT_BYTES),
    ):
        _check_length(name, text, most)


def parse_decision(text: str) -> ApprovalDecision:
    """The decision that a text names; raises `InvalidNote`."""
    if text not in {ApprovalDecision.APPROVED, ApprovalDecision.DENIED}:
        raise InvalidNote("decision must be 'approved' or 'denied'")
    return ApprovalDecision(text)


def parse_decider(text: str) -> str:
    """Who decides, by what they call themselves; raises `InvalidNote`."""
    _check_length("decided_by", text, MAX_DECIDER_BYTES)
    return text or DEFAULT_DECIDER


def apply_decision(approval: Approval, decision: ApprovalDecision, by: str, at: datetime) -> Approval:
    """The request, decided."""
    return replace(approval, decision=decision, decided_by=by, decided_at=at)


def build_request_notice(approval: Approval) -> Notice:
    """What is told of the workspace that asks."""
    return Notice(EventType.APPROVAL_REQUESTED, _describe_approval(approval) | {"task_id": approval.task_id})


def build_escalation_notice(approval: Approval) -> Notice:
    """What is told of the workspace above it."""
    return Notice(
        EventType.APPROVAL_ESCALATED, _describe_approval(approval) | {"from_workspace_id": approval.workspace_id}
    )


def build_decision_notice(approval: Approval) -> Notice:
    """What is told of a decision."""
    kind = EventType.APPROVAL_APPROVED if approval.decision is ApprovalDecision.APPROVED else EventType.APPROVAL_DENIED
    told = {"approval_id": approval.id, "decision": approval.decision.value, "decided_by": approval.decided_by}
    return Notice(kind, told)


def _describe_approval(approval: Approval) -> dict[str, str]:
    return {"approval_id": approval.id, "action": approval.action, "reason": approval.reason}


def _check_length(name: str, text: str, most: int) -> None:
    if "\0" in text:
        raise InvalidNote("invalid request body")
    if len(text.encode()) > most:
        raise InvalidNote(f"{name} must be <= {most} bytes")
