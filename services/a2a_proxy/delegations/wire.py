"""Converts delegations between protobuf and the model."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from protos.a2a_proxy.v1 import delegations_pb2 as pb
from services.a2a_proxy.delegations.errors import InvalidDelegation
from services.a2a_proxy.delegations.model import Cancelled, Delegation, DelegationRequest, DelegationRow
from services.a2a_proxy.delegations.records import MAX_LISTED_PREVIEW
from services.a2a_proxy.model import WorkspaceId
from services.chassis.timestamps import timestamp_from_datetime

MAX_SECONDS = 10**9
"""Seconds at which a number of seconds is cut: every such deadline is refused."""


def request_from_proto(request: pb.DelegateRequest) -> DelegationRequest:
    """Return the request for a delegation; raises `InvalidDelegation` for an id or a target that is no UUID."""
    seconds = request.deadline_seconds if request.HasField("deadline_seconds") else None
    return DelegationRequest(
        id=_parse_uuid(request.request_id, "request_id"),
        source_id=WorkspaceId(request.workspace_id),
        target_id=parse_target(request.target_id),
        task=request.task,
        idempotency_key=request.idempotency_key,
        lineage_token=request.lineage_token,
        deadline_in=None if seconds is None else timedelta(seconds=max(0, min(seconds, MAX_SECONDS))),
        budget=request.budget if request.HasField("budget") else None,
    )


def parse_target(text: str) -> WorkspaceId:
    """Return the id of a target; raises `InvalidDelegation`."""
    return WorkspaceId(_parse_uuid(text, "target_id"))


def delegation_to_proto(delegation: Delegation) -> pb.Delegation:
    """Return a delegation as a protobuf message."""
    return pb.Delegation(
        delegation_id=delegation.delegation_id,
        source_id=delegation.source_id,
        target_id=delegation.target_id,
        status=delegation.status.value,
        root_id=delegation.root_id,
        parent_id=delegation.parent_id,
        depth=delegation.depth,
        created_at=timestamp_from_datetime(delegation.created_at),
        deadline=timestamp_from_datetime(delegation.deadline),
        ended_at=timestamp_from_datetime(delegation.ended_at) if delegation.ended_at else None,
        budget=delegation.budget,
        budget_remaining=delegation.remaining_budget,
        text=delegation.text,
        error=delegation.error,
    )


def row_to_proto(row: DelegationRow) -> pb.DelegationRow:
    """Return a line of the list as a protobuf message."""
    text = row.delegation.text
    cut = row.delegation if text is None else replace(row.delegation, text=text[:MAX_LISTED_PREVIEW])
    return pb.DelegationRow(
        id=row.id,
        summary=row.summary,
        created_at=timestamp_from_datetime(row.created_at),
        is_result=row.is_result,
        delegation=delegation_to_proto(cut),
    )


def cancelled_to_proto(result: Cancelled) -> pb.CancelDelegationResponse:
    """Return what was cancelled as a protobuf message, without texts: there may be many."""
    return pb.CancelDelegationResponse(
        delegation=_without_text(result.delegation),
        cancelled=[_without_text(delegation) for delegation in result.cancelled],
        not_stopped=[_without_text(delegation) for delegation in result.not_stopped],
    )


def _without_text(delegation: Delegation) -> pb.Delegation:
    return delegation_to_proto(replace(delegation, text=None, error=None))


def _parse_uuid(text: str, name: str) -> str:
    try:
        if str(UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise InvalidDelegation(f"{name} must be a valid UUID")
