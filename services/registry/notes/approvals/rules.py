"""Rules of approvals: limits, decisions and the events about them (docs/spec/rest.md, 6.15)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.registry.notes.errors import InvalidNote
from services.registry.workspace.events import EventDraft, EventType
from services.registry.workspace.model import WorkspaceId

DECISION_TIMEOUT = timedelta(minutes=10)
"""Time after which the plane denies a request that no person has decided."""

PLATFORM_DECIDER = "auto-expired"
"""The decider of a request that the plane denies after the timeout."""

DEFAULT_DECIDER = "human"
"""The decider if the caller names none."""

MAX_ACTION_BYTES = 1000
MAX_REASON_BYTES = 8192
MAX_TASK_ID_BYTES = 200
MAX_DECIDER_BYTES = 200
MAX_CONTEXT_BYTES = 64 * 1024

MAX_PENDING_APPROVALS_PER_WORKSPACE = 100

MAX_APPROVALS_PER_WORKSPACE = 1_000
"""Approvals, decided ones included, beyond which the oldest decided ones of a workspace are deleted."""


class ApprovalDecision(StrEnum):
    """The state of an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An agent's request for a person's consent, and its decision. `context` is the text of a JSON object."""

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
    """An approval, and the name of the requesting workspace where several workspaces are listed."""

    approval: Approval
    workspace_name: str = ""


def check_approval(approval: Approval) -> None:
    """Raise `InvalidNote` if a text of the request is missing or too long."""
    if not approval.action:
        raise InvalidNote("invalid request body")
    for name, text, limit in (
        ("action", approval.action, MAX_ACTION_BYTES),
        ("reason", approval.reason, MAX_REASON_BYTES),
        ("task_id", approval.task_id, MAX_TASK_ID_BYTES),
        ("context", approval.context, MAX_CONTEXT_BYTES),
    ):
        _check_length(name, text, limit)


def parse_decision(text: str) -> ApprovalDecision:
    """Return the decision that a text names; raises `InvalidNote`."""
    if text not in {ApprovalDecision.APPROVED, ApprovalDecision.DENIED}:
        raise InvalidNote("decision must be 'approved' or 'denied'")
    return ApprovalDecision(text)


def parse_decider(text: str) -> str:
    """Return the name of the decider; raises `InvalidNote`."""
    _check_length("decided_by", text, MAX_DECIDER_BYTES)
    return text or DEFAULT_DECIDER


def apply_decision(approval: Approval, decision: ApprovalDecision, by: str, at: datetime) -> Approval:
    """Return the approval with a decision."""
    return replace(approval, decision=decision, decided_by=by, decided_at=at)


def build_request_notice(approval: Approval) -> EventDraft:
    """Return the event for the requesting workspace."""
    return EventDraft(EventType.APPROVAL_REQUESTED, _describe_approval(approval) | {"task_id": approval.task_id})


def build_escalation_notice(approval: Approval) -> EventDraft:
    """Return the event for the parent of the requesting workspace."""
    return EventDraft(
        EventType.APPROVAL_ESCALATED, _describe_approval(approval) | {"from_workspace_id": approval.workspace_id}
    )


def build_decision_notice(approval: Approval) -> EventDraft:
    """Return the event about a decision."""
    kind = EventType.APPROVAL_APPROVED if approval.decision is ApprovalDecision.APPROVED else EventType.APPROVAL_DENIED
    payload = {"approval_id": approval.id, "decision": approval.decision.value, "decided_by": approval.decided_by}
    return EventDraft(kind, payload)


def _describe_approval(approval: Approval) -> dict[str, str]:
    return {"approval_id": approval.id, "action": approval.action, "reason": approval.reason}


def _check_length(name: str, text: str, max_bytes: int) -> None:
    if "\0" in text:
        raise InvalidNote("invalid request body")
    if len(text.encode()) > max_bytes:
        raise InvalidNote(f"{name} must be <= {max_bytes} bytes")
