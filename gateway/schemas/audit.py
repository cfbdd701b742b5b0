"""The audit log, and the verification of its hash chain."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway import json_format
from protos.auth.v1 import audit_pb2 as pb


@with_config(title="Deed")
class AuditRecord(TypedDict):
    """Something that somebody did, in its place in the chain."""

    place: int
    id: str
    at: str
    actor: str
    action: str
    workspace_id: str | None
    org_id: str | None
    subject: str | None
    details: dict[str, Any]
    digest: str


@with_config(title="Verification")
class AuditVerification(TypedDict):
    """What following a stretch of the chain found."""

    verdict: str
    place: int
    complete: bool
    digest: str


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
    return AuditVerification(
        verdict=pb.Verdict.Name(message.verdict).removeprefix("VERDICT_").lower(),
        place=message.position,
        complete=message.complete,
        digest=message.digest.hex(),
    )
