"""Requests for consent, and decisions on them."""

from typing import Any

from pydantic import Field

from gateway.bodies import Name, Shape


class NewApproval(Shape):
    """Body of POST /workspaces/{id}/approvals."""

    action: Name
    reason: str = ""
    task_id: str = ""
    context: dict[str, Any] = Field(default_factory=dict)


class Decision(Shape):
    """Body of POST /workspaces/{id}/approvals/{approvalId}/decide."""

    decision: str = ""
    decided_by: str = ""
