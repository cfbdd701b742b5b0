"""Converts reports of work between protobuf and the model."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from protos.registry.v1 import lifecycle_pb2 as pb
from services.chassis.timestamps import timedelta_from_duration
from services.registry.errors.workspaces import InvalidValue
from services.registry.lifecycle.idleness import WorkReport
from services.registry.workspace.model import WorkspaceId

MAX_REPLICA_ID_CHARS = 100


def parse_work_report(request: pb.ReportWorkRequest, now: datetime) -> WorkReport:
    """Return a report that has arrived now; raises `InvalidValue` for a replica without an id."""
    if not 0 < len(request.replica_id) <= MAX_REPLICA_ID_CHARS:
        raise InvalidValue(field="replica_id")
    return WorkReport(
        replica_id=request.replica_id,
        seen_revision=request.seen_revision,
        worked_at=_parse_notices(request.notices, now),
        sent_at=_parse_notices(request.sent, now),
        is_leaving=request.is_leaving,
    )


def _parse_notices(notices: Iterable[pb.WorkNotice], now: datetime) -> dict[WorkspaceId, datetime]:
    return {
        WorkspaceId(notice.workspace_id): now - max(timedelta_from_duration(notice.age), timedelta())
        for notice in notices
    }
