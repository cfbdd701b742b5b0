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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStart:
    """The position from which on a key links the records, signed with that key."""

    position: int
    key_id: str
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The last of the oldest records that were removed: its position and digest, signed with a key."""

    position: int
    digest: bytes
    key_id: str
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainExtent:
    """The positions of the oldest and the newest record that are stored, and of the oldest one that is not yet old.

    `first_young` follows the old records that were looked at if all of them are old.
    """

    first: int
    last: int
    first_young: int


class Fault(StrEnum):
    """What is wrong at the position of a result."""

    RECORD_CHANGED = "record_changed"
    """The digest does not belong to the record and the one before it: one of them was changed."""

    RECORD_MISSING = "record_missing"
    """The record at this position was removed."""

    KEY_MISSING = "key_missing"
    """The record is linked without a key, although a key was in force."""

    KEY_REPLACED = "key_replaced"
    """The record is linked with another key than the one that was in force."""

    KEY_UNKNOWN = "key_unknown"
    """The record is linked with a key that the settings do not contain."""

    KEY_START_FORGED = "key_start_forged"
    """The position from which on the key is in force was not written by the holder of the key."""

    CHECKPOINT_FORGED = "checkpoint_forged"
    """Old records were removed, and the checkpoint was not written by the holder of the key."""


class Verdict(StrEnum):
    """The outcome of verifying records of the chain."""

    INTACT = "intact"
    BROKEN = "broken"
    UNCHECKABLE = "uncheckable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The verdict, the last position that was checked, and the digest of the last record that was intact.

    `fault` says what is wrong unless the verdict is intact.
    """

    verdict: Verdict
    position: int
    digest: bytes
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """The result for one range of the chain; `complete` is true if there is nothing more to verify."""

    result: CheckResult
    complete: bool
