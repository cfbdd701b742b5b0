"""Audit records: what a caller did to a workspace, as it is sent to the audit log of auth."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.registry.workspace.model import Workspace, WorkspaceId


class AuditAction(StrEnum):
    """The actions that are audited, each a noun and a participle."""

    CREATED = "workspace.created"
    CHANGED = "workspace.changed"
    BUDGET_CHANGED = "workspace.budget_changed"
    REMOVED = "workspace.removed"
    RESTARTED = "workspace.restarted"
    PAUSED = "workspace.paused"
    RESUMED = "workspace.resumed"
    HIBERNATED = "workspace.hibernated"
    DECLARED_FAILED = "workspace.declared_failed"
    CANCELLED = "workspace.start_cancelled"
    DECIDED = "approval.decided"
    PLUGIN_INSTALLED = "plugin.installed"
    PLUGIN_REMOVED = "plugin.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One action of one caller on one workspace. `details` is a JSON object."""

    id: str
    at: datetime
    actor: str
    action: str
    workspace_id: WorkspaceId
    org_id: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginChange:
    """A plugin that was installed or removed. `source` and `sha256` are empty for a removed one."""

    plugin: str
    is_installed: bool
    source: str = ""
    sha256: str = ""


def build_record(
    actor: str, action: AuditAction, workspace: Workspace, *, record_id: str, at: datetime, **details: object
) -> AuditRecord:
    """Build the record of an action of `actor` on a workspace; `details` must be JSON values."""
    return AuditRecord(
        id=record_id,
        at=at,
        actor=actor,
        action=action.value,
        workspace_id=workspace.id,
        org_id=workspace.org_id,
        details=json.dumps(details, sort_keys=True, separators=(",", ":")),
    )
