"""What somebody did to a workspace, as the audit is told of it."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.registry.workspace.model import Workspace, WorkspaceId


class AuditAction(StrEnum):
    """What can be done to a workspace by somebody, a noun and what became of it."""

    CREATED = "workspace.created"
    CHANGED = "workspace.changed"
    BUDGET_CHANGED = "workspace.budget_changed"
    REMOVED = "workspace.removed"
    RESTARTED = "workspace.restarted"
    PAUSED = "workspace.paused"
    RESUMED = "workspace.resumed"
    HIBERNATED = "workspace.hibernated"
    DECLARED_FAILED = "workspace.declared_failed"
    DECIDED = "approval.decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Something that somebody did. `details` is a JSON object."""

    id: str
    at: datetime
    actor: str
    action: str
    workspace_id: WorkspaceId
    org_id: str
    details: str


def build_record(
    actor: str, action: AuditAction, workspace: Workspace, *, deed_id: str, at: datetime, **details: object
) -> AuditRecord:
    """What the actor did to the workspace."""
    return AuditRecord(
        id=deed_id,
        at=at,
        actor=actor,
        action=action.value,
        workspace_id=workspace.id,
        org_id=workspace.org_id,
        details=json.dumps(details, sort_keys=True, separators=(",", ":")),
    )
