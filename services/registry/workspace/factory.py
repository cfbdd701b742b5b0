"""Builds a new workspace from a validated draft."""

from datetime import datetime, timedelta

from services.registry.workspace import routes
from services.registry.workspace.model import DeliveryMode, DirectoryAccess, Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.status_texts import STATUS_DETAILS
from services.registry.workspace.validation import WorkspaceDraft


def build_workspace(
    draft: WorkspaceDraft, starter_files: StarterFiles, *, workspace_id: WorkspaceId, now: datetime, limit: timedelta
) -> Workspace:
    """Build the workspace of a validated draft; `limit` is how long its first instance may take to start."""
    return Workspace(
        id=workspace_id,
        name=draft.name,
        role=draft.role or None,
        tier=draft.tier,
        runtime=draft.runtime,
        model=draft.model or None,
        parent_id=WorkspaceId(draft.parent_id) if draft.parent_id else None,
        org_id=workspace_id,
        workspace_dir=draft.workspace_dir or None,
        workspace_access=DirectoryAccess(draft.workspace_access),
        budget_limit=draft.budget_limit,
        max_concurrent_tasks=draft.max_concurrent_tasks,
        hibernation_idle_minutes=draft.hibernation_idle_minutes,
        x=draft.x,
        y=draft.y,
        template=starter_files.template,
        starter_files_digest=starter_files.digest,
        brief=starter_files.brief,
        status=Status.PROVISIONING,
        status_reason=Reason.CREATED,
        status_detail=STATUS_DETAILS[Reason.CREATED],
        status_since=now,
        created_at=now,
        generation=0 if draft.external else 1,
        provision_deadline=None if draft.external else now + limit,
        url=draft.url,
        delivery_mode=routes.choose_delivery_mode(
            DeliveryMode(draft.delivery_mode) if draft.delivery_mode else None,
            None,
            external=draft.external,
            url=draft.url,
        ),
    )
