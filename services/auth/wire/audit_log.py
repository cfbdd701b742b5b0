"""Converts the messages of `AuditService`."""

from collections.abc import Iterable

from protos.auth.v1 import audit_pb2 as pb
from services.auth.model.audit_log import AuditRecord, ChainedRecord, Verdict, VerificationReport
from services.auth.rules.hash_chain import MAX_DETAILS_BYTES, serialize_details
from services.auth.wire.fields import malformed
from services.chassis import strict_json
from services.chassis.timestamps import datetime_from_timestamp, timestamp_from_datetime

MAX_RECORDS_PER_REQUEST = 500

MAX_FIELD_LENGTH = 256
"""Limit of the characters of an id, an actor, an action or a subject."""


def records_from(messages: Iterable[pb.AuditRecord]) -> list[AuditRecord]:
    """Return the records of another service."""
    records = [_record_from(message) for message in messages]
    if len(records) > MAX_RECORDS_PER_REQUEST:
        raise malformed("records")
    return records


def record_to(chained: ChainedRecord) -> pb.ChainedAuditRecord:
    """Convert a record and its position."""
    record = chained.record
    return pb.ChainedAuditRecord(
        record=pb.AuditRecord(
            id=record.id,
            at=timestamp_from_datetime(record.at),
            actor=record.actor,
            action=record.action,
            workspace_id=record.workspace_id,
            org_id=record.org_id,
            subject=record.subject,
            details=record.details.encode(),
        ),
        position=chained.position,
        digest=chained.digest,
    )


def report_to(report: VerificationReport) -> pb.VerifyAuditLogResponse:
    """Convert the result of a verification."""
    result = report.result
    return pb.VerifyAuditLogResponse(
        verdict=_VERDICTS[result.verdict],
        position=result.position,
        complete=report.complete,
        digest=result.digest,
        fault=pb.Fault.Value(f"FAULT_{result.fault.name}") if result.fault else pb.FAULT_UNSPECIFIED,
    )


def _record_from(message: pb.AuditRecord) -> AuditRecord:
    for field in ("id", "actor", "action"):
        if not 0 < len(getattr(message, field)) <= MAX_FIELD_LENGTH:
            raise malformed(field)
    for field in ("workspace_id", "org_id", "subject"):
        if len(getattr(message, field)) > MAX_FIELD_LENGTH:
            raise malformed(field)
    return AuditRecord(
        id=message.id,
        at=datetime_from_timestamp(message.at),
        actor=message.actor,
        action=message.action,
        workspace_id=message.workspace_id,
        org_id=message.org_id,
        subject=message.subject,
        details=_details_from(message.details),
    )


def _details_from(text: bytes) -> str:
    """Return the details in the form that the hash chain needs."""
    try:
        details = strict_json.parse(text or b"{}") if len(text) <= MAX_DETAILS_BYTES else None
    except strict_json.InvalidJson:
        details = None
    if not isinstance(details, dict):
        raise malformed("details")
    return serialize_details(details)


_VERDICTS = {
    Verdict.INTACT: pb.VERDICT_INTACT,
    Verdict.BROKEN: pb.VERDICT_BROKEN,
    Verdict.UNCHECKABLE: pb.VERDICT_UNCHECKABLE,
}
