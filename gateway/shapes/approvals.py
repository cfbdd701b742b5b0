"""Requests for consent, and decisions on them."""

from typing import Any

from pydantic import Field

from gateway.request_body import NonEmptyText, RequestModel


class NewApproval(RequestModel):
    """Body of POST /workspaces/{id}/approvals."""

    action: NonEmptyText
    reason: str = ""
    task_id: str = ""
    context: dict[str, Any] = Field(default_factory=dict)


class Decision(RequestModel):
    """Body of POST /workspaces/{id}/approvals/{approvalId}/decide."""

    decision: str = ""
    decided_by: str = ""
