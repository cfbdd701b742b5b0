"""Deeds as the contract writes them."""

import json
from collections.abc import Iterable
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import audit_pb2 as pb
from services.auth import chain
from services.auth.chain import AuditRecord, ChainedRecord, Verdict, VerificationReport
from services.chassis.errors import InvalidArgument

AT_MOST = 500
"""Deeds in one request."""

LONGEST = 256
"""Characters of an id, an actor, an action or a subject."""


def deeds_from(messages: Iterable[pb.AuditRecord]) -> list[AuditRecord]:
    """What another service recorded."""
    deeds = [_deed_from(message) for message in messages]
    if len(deeds) > AT_MOST:
        raise _malformed("records")
    return deeds


def link_to(link: ChainedRecord) -> pb.ChainedAuditRecord:
    """A deed in its place."""
    deed = link.deed
    at = Timestamp()
    at.FromDatetime(deed.at)
    return pb.ChainedAuditRecord(
        record=pb.AuditRecord(
            id=deed.id,
            at=at,
            actor=deed.actor,
            action=deed.action,
            workspace_id=deed.workspace_id,
            org_id=deed.org_id,
            subject=deed.subject,
            details=deed.details.encode(),
        ),
        position=link.place,
        digest=link.digest,
    )


def report_to(report: VerificationReport) -> pb.VerifyAuditLogResponse:
    """What following the chain found."""
    finding = report.result
    return pb.VerifyAuditLogResponse(
        verdict=_VERDICTS[finding.verdict], position=finding.place, complete=report.complete, digest=finding.digest
    )


def _deed_from(message: pb.AuditRecord) -> AuditRecord:
    for name in ("id", "actor", "action"):
        if not 0 < len(getattr(message, name)) <= LONGEST:
            raise _malformed(name)
    for name in ("workspace_id", "org_id", "subject"):
        if len(getattr(message, name)) > LONGEST:
            raise _malformed(name)
    return AuditRecord(
        id=message.id,
        at=message.at.ToDatetime(tzinfo=UTC),
        actor=message.actor,
        action=message.action,
        workspace_id=message.workspace_id,
        org_id=message.org_id,
        subject=message.subject,
        details=_details_from(message.details),
    )


def _details_from(told: bytes) -> str:
    try:
        details = json.loads(told or b"{}") if len(told) <= chain.MAX_DETAILS_BYTES else None
    except ValueError:
        details = None
    if not isinstance(details, dict):
        raise _malformed("details")
    return chain.serialize_details(details)


def _malformed(name: str) -> InvalidArgument:
    return InvalidArgument(f"malformed field: {name}", details={"field": name})


_VERDICTS = {
    Verdict.INTACT: pb.VERDICT_INTACT,
    Verdict.BROKEN: pb.VERDICT_BROKEN,
    Verdict.UNCHECKABLE: pb.VERDICT_UNCHECKABLE,
}
