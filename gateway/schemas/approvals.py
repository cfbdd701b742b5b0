"""Requests for approval, and decisions on them."""

from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import ApprovalStatusName, DateTime
from gateway.schemas.request_model import NonEmptyText, RequestModel
from protos.registry.v1 import approvals_pb2


class NewApproval(RequestModel):
    """Body of POST /workspaces/{id}/approvals."""

    action: NonEmptyText
    reason: str = ""
    task_id: str = ""
    context: dict[str, Any] = Field(default_factory=dict)


class ApprovalDecision(RequestModel, title="Decision"):
    """Body of POST /workspaces/{id}/approvals/{approvalId}/decide."""

    decision: str = ""
    decided_by: str = ""


class ApprovalResult(TypedDict):
    """What has become of a request."""

    approval_id: str
    status: ApprovalStatusName


class Approval(TypedDict):
    """A request, in the list of its workspace."""

    id: str
    action: str
    reason: str
    task_id: str
    status: ApprovalStatusName
    decided_by: str | None
    decided_at: DateTime | None
    created_at: DateTime


class PendingApproval(TypedDict):
    """A request that waits, in the list of all workspaces."""

    id: str
    workspace_id: str
    workspace_name: str
    action: str
    reason: str
    status: ApprovalStatusName
    created_at: DateTime


def render_approval(message: approvals_pb2.Approval) -> Approval:
    """Return an approval as the list of its workspace shows it."""
    return Approval(
        id=message.id,
        action=message.action,
        reason=message.reason,
        task_id=message.task_id,
        status=message.status,
        decided_by=message.decided_by if message.HasField("decided_by") else None,
        decided_at=json_format.format_timestamp(message.decided_at) if message.HasField("decided_at") else None,
        created_at=json_format.format_timestamp(message.created_at),
    )


def render_pending_approval(message: approvals_pb2.Approval) -> PendingApproval:
    """Return an undecided approval, with the workspace that requested it."""
    return PendingApproval(
        id=message.id,
        workspace_id=message.workspace_id,
        workspace_name=message.workspace_name,
        action=message.action,
        reason=message.reason,
        status=message.status,
        created_at=json_format.format_timestamp(message.created_at),
    )
