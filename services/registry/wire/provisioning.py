"""Converts reports on starts, and the view that the REST contract shows."""

from datetime import UTC

from protos.registry.v1 import provisioning_pb2 as pb
from protos.registry.v1 import registry_pb2
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.errors.workspaces import InvalidValue
from services.registry.workspace.model import BackendEvent, ProvisioningView, WorkspaceId
from services.registry.workspace.provisioning import MAX_REPORTS, ProvisioningRecord, ProvisioningStep


def parse_reports(request: pb.ReportProvisioningRequest) -> list[ProvisioningRecord]:
    """Return the records of a request; raises `InvalidValue` for too many, or an unknown step."""
    if len(request.reports) > MAX_REPORTS:
        raise InvalidValue(field="reports")
    return [_parse_report(report) for report in request.reports]


def build_provisioning(view: ProvisioningView) -> registry_pb2.Provisioning:
    """Return where a start stands."""
    return registry_pb2.Provisioning(
        step=view.step,
        reason=view.reason,
        text=view.text,
        position=view.position,
        since=timestamp_from_datetime(view.since) if view.since else None,
        deadline=timestamp_from_datetime(view.deadline) if view.deadline else None,
        next_attempt_at=timestamp_from_datetime(view.next_attempt_at) if view.next_attempt_at else None,
        missing=view.missing,
        events=[
            registry_pb2.BackendEvent(
                at=timestamp_from_datetime(event.at), kind=event.kind, exit_code=event.exit_code, text=event.text
            )
            for event in view.events
        ],
    )


def _parse_report(report: pb.ProvisioningReport) -> ProvisioningRecord:
    if report.step not in set(ProvisioningStep):
        raise InvalidValue(field="reports")
    return ProvisioningRecord(
        workspace_id=WorkspaceId(report.workspace_id),
        generation=report.generation,
        step=ProvisioningStep(report.step),
        reason=report.reason,
        missing=tuple(report.missing),
        next_attempt_at=report.next_attempt_at.ToDatetime(UTC) if report.HasField("next_attempt_at") else None,
        events=tuple(
            BackendEvent(event.at.ToDatetime(UTC), event.kind, event.exit_code if event.HasField("exit_code") else None)
            for event in report.events
        ),
    )
