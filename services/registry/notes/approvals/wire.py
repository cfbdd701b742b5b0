"""Requests for consent: protobuf and model."""

from datetime import datetime

from protos.registry.v1 import approvals_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.approvals.rules import Approval, Listed
from services.registry.workspace.model import WorkspaceId


def approval_from(request: pb.RequestApprovalRequest, approval_id: str, at: datetime) -> Approval:
    """A request as an agent makes it."""
    return Approval(
        id=approval_id,
        workspace_id=WorkspaceId(request.workspace_id),
        action=request.action,
        reason=request.reason,
        task_id=request.task_id,
        context=request.context.decode() or "{}",
        created_at=at,
    )


def approval_to(listed: Listed) -> pb.Approval:
    """A request as the contract writes it."""
    approval = listed.approval
    return pb.Approval(
        id=approval.id,
        workspace_id=approval.workspace_id,
        workspace_name=listed.workspace_name,
        action=approval.action,
        reason=approval.reason,
        task_id=approval.task_id,
        context=approval.context.encode(),
        status=approval.decision,
        decided_by=approval.decided_by,
        decided_at=timestamp_from_datetime(approval.decided_at) if approval.decided_at else None,
        created_at=timestamp_from_datetime(approval.created_at),
    )
