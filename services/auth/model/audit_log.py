"""Audit records, the hash chain that links them, and the result of verifying it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One action on a workspace, a token or a secret.

    `details` is compact JSON with sorted keys, because its bytes are part of the digest.
    """

    id: str
    at: datetime
    actor: str
    action: str
    workspace_id: str = ""
    org_id: str = ""
    subject: str = ""
    details: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedRecord:
    """An audit record at its position in the chain; positions are 1, 2, 3, without gaps."""

    position: int
    record: AuditRecord
    digest: bytes
    key_id: str
    """The key that the digest was made with; empty for none."""


class Verdict(StrEnum):
    """The outcome of verifying records of the chain."""

    INTACT = "intact"
    BROKEN = "broken"
    UNCHECKABLE = "uncheckable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The verdict, the last position that was checked, and the digest of the last record that was intact."""

    verdict: Verdict
    position: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """The result for one range of the chain; `complete` is true if there is nothing more to verify."""

    result: CheckResult
    complete: bool
