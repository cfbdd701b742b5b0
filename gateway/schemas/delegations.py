"""Delegations: requests, reports and their answers."""

from typing import Annotated, Literal, NotRequired

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from gateway.schemas.request_model import Int64, NonEmptyText, RequestModel, WorkspaceId
from protos.a2a_proxy.v1 import delegations_pb2 as pb

DelegationStatusName = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "enum": ["pending", "dispatched", "queued", "completed", "failed", "cancelled", "expired"],
        }
    ),
]


class NewDelegation(RequestModel):
    """Body of POST /workspaces/{id}/delegate."""

    target_id: WorkspaceId
    task: NonEmptyText
    idempotency_key: str = ""
    lineage_token: str = ""
    deadline_seconds: Int64 | None = None
    budget: Int64 | None = None


class RecordedDelegation(RequestModel):
    """Body of POST /workspaces/{id}/delegations/record."""

    target_id: WorkspaceId
    task: NonEmptyText
    delegation_id: NonEmptyText


class DelegationReport(RequestModel):
    """Body of POST /workspaces/{id}/delegations/{delegationId}/update."""

    status: str = ""
    error: str = ""
    response_preview: str = ""


class DelegatedTask(TypedDict):
    """A delegation that was accepted."""

    delegation_id: str
    status: Literal["delegated"]
    target_id: str


class KnownDelegation(TypedDict):
    """The delegation that an earlier request with the same key made."""

    delegation_id: str
    status: DelegationStatusName
    target_id: str
    idempotent_hit: Literal[True]


class RecordResult(TypedDict):
    """A delegation that was recorded."""

    delegation_id: str
    status: Literal["recorded"]


class ReportResult(TypedDict):
    """What has become of a delegation after a report."""

    delegation_id: str
    status: DelegationStatusName


class Delegation(TypedDict):
    """A delegation, with its place in the tree of delegations."""

    delegation_id: str
    source_id: str
    target_id: str
    status: DelegationStatusName
    root_id: str
    parent_id: str | None
    depth: int
    created_at: DateTime
    deadline: DateTime
    ended_at: DateTime | None
    budget: int | None
    budget_remaining: int | None
    text: NotRequired[str]
    error: NotRequired[str]


class DelegationRow(TypedDict):
    """The request or the result of a delegation."""

    id: str
    type: Literal["delegation"]
    source_id: str
    target_id: str
    summary: str
    status: DelegationStatusName
    created_at: DateTime
    delegation_id: str
    error: NotRequired[str]
    response_preview: NotRequired[str]


class CancelledDelegation(TypedDict):
    """A delegation that a cancellation ended."""

    delegation_id: str
    target_id: str


class CancelResult(TypedDict):
    """What a cancellation ended, and which of the agents could not be told to stop."""

    delegation_id: str
    status: DelegationStatusName
    cancelled: list[CancelledDelegation]
    not_stopped: list[CancelledDelegation]


def render_delegation(message: pb.Delegation) -> Delegation:
    """Return a delegation as JSON."""
    rendered = Delegation(
        delegation_id=message.delegation_id,
        source_id=message.source_id,
        target_id=message.target_id,
        status=message.status,
        root_id=message.root_id,
        parent_id=message.parent_id if message.HasField("parent_id") else None,
        depth=message.depth,
        created_at=json_format.format_timestamp(message.created_at),
        deadline=json_format.format_timestamp(message.deadline),
        ended_at=json_format.format_timestamp(message.ended_at) if message.HasField("ended_at") else None,
        budget=message.budget if message.HasField("budget") else None,
        budget_remaining=message.budget_remaining if message.HasField("budget_remaining") else None,
    )
    if message.HasField("text"):
        rendered["text"] = message.text
    if message.HasField("error"):
        rendered["error"] = message.error
    return rendered


def render_row(message: pb.DelegationRow) -> DelegationRow:
    """Return a line of the list; only the line about a result has the result."""
    delegation = message.delegation
    rendered = DelegationRow(
        id=message.id,
        type="delegation",
        source_id=delegation.source_id,
        target_id=delegation.target_id,
        summary=message.summary,
        status=delegation.status,
        created_at=json_format.format_timestamp(message.created_at),
        delegation_id=delegation.delegation_id,
    )
    if message.is_result and delegation.HasField("error"):
        rendered["error"] = delegation.error
    if message.is_result and delegation.HasField("text"):
        rendered["response_preview"] = delegation.text
    return rendered


def render_cancellation(message: pb.CancelDelegationResponse) -> CancelResult:
    """Return the result of a cancellation as JSON."""
    return CancelResult(
        delegation_id=message.delegation.delegation_id,
        status=message.delegation.status,
        cancelled=[_render_cancelled(one) for one in message.cancelled],
        not_stopped=[_render_cancelled(one) for one in message.not_stopped],
    )


def _render_cancelled(message: pb.Delegation) -> CancelledDelegation:
    return CancelledDelegation(delegation_id=message.delegation_id, target_id=message.target_id)
