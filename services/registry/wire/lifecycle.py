"""Converts reports of work between protobuf and the model."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from protos.registry.v1 import lifecycle_pb2 as pb
from services.chassis.timestamps import timedelta_from_duration
from services.registry.errors.workspaces import InvalidValue
from services.registry.lifecycle.idleness import WorkReport
from services.registry.workspace.audit import PluginChange
from services.registry.workspace.model import WorkspaceId

MAX_REPLICA_ID_CHARS = 100

MAX_ACTOR_CHARS = 100

MAX_PLUGIN_CHANGES = 200


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


def parse_plugin_changes(request: pb.RenewWorkspaceRequest) -> tuple[str, list[PluginChange]]:
    """Return who changed plugins, and the changes; raises `InvalidValue` without an actor and for too many."""
    if request.changes and not 0 < len(request.actor) <= MAX_ACTOR_CHARS:
        raise InvalidValue(field="actor")
    if len(request.changes) > MAX_PLUGIN_CHANGES:
        raise InvalidValue(field="changes")
    return request.actor, [
        PluginChange(plugin=one.plugin, is_installed=one.is_installed, source=one.source, sha256=one.sha256)
        for one in request.changes
    ]
