"""The audit log, and the verification of its hash chain."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from protos.auth.v1 import audit_pb2 as pb


class AuditRecord(TypedDict):
    """An audit record: an action, its actor and its place in the chain."""

    place: int
    id: str
    at: DateTime
    actor: str
    action: str
    workspace_id: str | None
    org_id: str | None
    subject: str | None
    details: dict[str, Any]
    digest: str


class AuditVerification(TypedDict):
    """What following a stretch of the chain found."""

    verdict: str
    place: int
    complete: bool
    digest: str
    fault: NotRequired[str]


def render_record(message: pb.ChainedAuditRecord) -> AuditRecord:
    """Return an audit record, with its position in the hash chain."""
    done = message.record
    return AuditRecord(
        place=message.position,
        id=done.id,
        at=json_format.format_timestamp(done.at),
        actor=done.actor,
        action=done.action,
        workspace_id=done.workspace_id or None,
        org_id=done.org_id or None,
        subject=done.subject or None,
        details=json_format.parse_stored(done.details or b"{}"),
        digest=message.digest.hex(),
    )


def render_verification(message: pb.VerifyAuditLogResponse) -> AuditVerification:
    """Return the result of a verification of the hash chain."""
    verification = AuditVerification(
        verdict=pb.Verdict.Name(message.verdict).removeprefix("VERDICT_").lower(),
        place=message.position,
        complete=message.complete,
        digest=message.digest.hex(),
    )
    if message.fault:
        verification["fault"] = pb.Fault.Name(message.fault).removeprefix("FAULT_").lower()
    return verification
