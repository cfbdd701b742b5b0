"""Converts approvals between protobuf and the model."""

from datetime import datetime

from protos.registry.v1 import approvals_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.approvals.rules import Approval, ListedApproval
from services.registry.notes.json_text import decode_json_text
from services.registry.workspace.model import WorkspaceId


def approval_from_request(request: pb.RequestApprovalRequest, approval_id: str, at: datetime) -> Approval:
    return Approval(
        id=approval_id,
        workspace_id=WorkspaceId(request.workspace_id),
        action=request.action,
        reason=request.reason,
        task_id=request.task_id,
        context=decode_json_text(request.context or b"{}"),
        created_at=at,
    )


def approval_to_proto(listed: ListedApproval) -> pb.Approval:
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
