"""Requests for consent as the JSON that the REST contract promises."""

from typing_extensions import TypedDict

from gateway import json_format
from protos.registry.v1 import approvals_pb2


class Approval(TypedDict):
    """A request, in the list of its workspace."""

    id: str
    action: str
    reason: str
    task_id: str
    status: str
    decided_by: str | None
    decided_at: str | None
    created_at: str


class PendingApproval(TypedDict):
    """A request that waits, in the list of all workspaces."""

    id: str
    workspace_id: str
    workspace_name: str
    action: str
    reason: str
    status: str
    created_at: str


def approval(message: approvals_pb2.Approval) -> Approval:
    """A request of a workspace."""
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


def pending_approval(message: approvals_pb2.Approval) -> PendingApproval:
    """A request that waits, with who asks."""
    return PendingApproval(
        id=message.id,
        workspace_id=message.workspace_id,
        workspace_name=message.workspace_name,
        action=message.action,
        reason=message.reason,
        status=message.status,
        created_at=json_format.format_timestamp(message.created_at),
    )
