"""Links audit records in a hash chain, so that changing, removing or inserting one is detected.

The digest of a record is the SHA-256 of a JSON array: its position, the digest before it and all its fields. With a
key it is the HMAC-SHA-256 of the same array, which cannot be forged without the key. Two kinds of signed statements
accompany the chain: from which position on a key is in force, and up to which position old records were removed.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC

from services.auth.model.audit_log import (
    AuditRecord,
    ChainedRecord,
    Checkpoint,
    CheckResult,
    Fault,
    KeyStart,
    Verdict,
)

GENESIS_DIGEST = bytes(32)
"""What the first record is linked to."""

MAX_DETAILS_BYTES = 4096
"""Limit of the details of a record."""


@dataclass(frozen=True, slots=True)
class ChainKey:
    """The key of the digests; an empty secret means none."""

    secret: bytes = field(default=b"", repr=False)

    @property
    def id(self) -> str:
        """A fingerprint that does not reveal the key; empty for none."""
        return hashlib.sha256(b"molecule audit key " + self.secret).hexdigest()[:12] if self.secret else ""


def link_record(record: AuditRecord, *, previous: ChainedRecord | None, key: ChainKey) -> ChainedRecord:
    """Return the record linked to the last one of the chain; `previous` is `None` for the first."""
    position = previous.position + 1 if previous else 1
    previous_digest = previous.digest if previous else GENESIS_DIGEST
    digest = _compute_digest(position, previous_digest, record, key)
    return ChainedRecord(position=position, record=record, digest=digest, key_id=key.id)


def sign_key_start(position: int, key: ChainKey) -> KeyStart:
    """Return the statement that from this position on every record is linked with the key."""
    return KeyStart(position=position, key_id=key.id, mac=_compute_mac(key, "key start", position))


def sign_checkpoint(last: ChainedRecord, key: ChainKey) -> Checkpoint:
    """Return the statement that the records up to this one were removed."""
    return Checkpoint(
        position=last.position,
        digest=last.digest,
        key_id=key.id,
        mac=_compute_mac(key, "checkpoint", last.position, last.digest.hex()),
    )


def verify_key_starts(starts: Sequence[KeyStart], *, last_position: int, key: ChainKey) -> CheckResult | None:
    """Return what is wrong with the statements about keys; `None` if nothing is.

    A key cannot be in force from a position on that no record has: then the end of the chain was removed.
    """
    for start in starts:
        if start.key_id == key.id and not _is_signed(start.mac, key, "key start", start.position):
            return _find(Fault.KEY_START_FORGED, start.position, GENESIS_DIGEST)
        if start.position > last_position:
            return _find(Fault.RECORD_MISSING, start.position, GENESIS_DIGEST)
    return None


def verify_checkpoint(checkpoint: Checkpoint, *, starts: Sequence[KeyStart], key: ChainKey) -> CheckResult | None:
    """Return what is wrong with a checkpoint; `None` if nothing is."""
    position, digest = checkpoint.position, checkpoint.digest
    if checkpoint.key_id not in {"", key.id}:
        return _find(Fault.KEY_UNKNOWN, position, GENESIS_DIGEST)
    if not checkpoint.key_id and any(start.position <= position for start in starts):
        return _find(Fault.CHECKPOINT_FORGED, position, GENESIS_DIGEST)
    signer = key if checkpoint.key_id else ChainKey()
    if not _is_signed(checkpoint.mac, signer, "checkpoint", position, digest.hex()):
        return _find(Fault.CHECKPOINT_FORGED, position, GENESIS_DIGEST)
    return None


def verify_chain(
    records: Iterable[ChainedRecord],
    *,
    previous: ChainedRecord | Checkpoint | None,
    key: ChainKey,
    starts: Sequence[KeyStart] = (),
) -> CheckResult:
    """Check that each record follows from the one before it; `previous` precedes the first, and is trusted.

    From the position of the last key start on, a record must be linked with that key. Also without any start a record
    without a key cannot follow one with a key.
    """
    position, digest = (previous.position, previous.digest) if previous else (0, GENESIS_DIGEST)
    has_key = isinstance(previous, ChainedRecord) and bool(previous.key_id)
    for chained in records:
        position += 1
        in_force = _find_key_in_force(starts, position, key=key)
        has_key = has_key or bool(in_force)
        fault = _find_fault(chained, position, digest, key=key, in_force=in_force, has_key=has_key)
        if fault is not None:
            return _find(fault, position, digest)
        digest = chained.digest
        has_key = has_key or bool(chained.key_id)
    return CheckResult(verdict=Verdict.INTACT, position=position, digest=digest)


def serialize_details(details: Mapping[str, object]) -> str:
    """Return the details as a record stores them: compact JSON with sorted keys."""
    return json.dumps(dict(details), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _find_key_in_force(starts: Iterable[KeyStart], position: int, *, key: ChainKey) -> str:
    """Return the id of the key that is in force at a position; empty for none. Of two at one position `key` counts."""
    begun = [start for start in starts if start.position <= position]
    last = max(begun, key=lambda start: (start.position, start.key_id == key.id), default=None)
    return last.key_id if last else ""


def _find_fault(
    chained: ChainedRecord, position: int, previous_digest: bytes, *, key: ChainKey, in_force: str, has_key: bool
) -> Fault | None:
    if chained.position != position:
        return Fault.RECORD_MISSING
    if has_key and not chained.key_id:
        return Fault.KEY_MISSING
    if in_force and in_force == key.id and chained.key_id != in_force:
        return Fault.KEY_REPLACED
    if chained.key_id not in {"", key.id}:
        return Fault.KEY_UNKNOWN
    expected = _compute_digest(position, previous_digest, chained.record, key if chained.key_id else ChainKey())
    return None if hmac.compare_digest(chained.digest, expected) else Fault.RECORD_CHANGED


def _find(fault: Fault, position: int, digest: bytes) -> CheckResult:
    verdict = Verdict.UNCHECKABLE if fault is Fault.KEY_UNKNOWN else Verdict.BROKEN
    return CheckResult(verdict=verdict, position=position, digest=digest, fault=fault)


def _compute_mac(key: ChainKey, *content: object) -> bytes:
    """Sign a statement about the chain. The form differs from that of a record, so that none is taken for the other."""
    return _hash(json.dumps(["statement", *content], separators=(",", ":")).encode(), key)


def _is_signed(mac: bytes, key: ChainKey, *content: object) -> bool:
    return hmac.compare_digest(mac, _compute_mac(key, *content))


def _hash(content: bytes, key: ChainKey) -> bytes:
    return hmac.digest(key.secret, content, "sha256") if key.secret else hashlib.sha256(content).digest()


def _compute_digest(position: int, previous_digest: bytes, record: AuditRecord, key: ChainKey) -> bytes:
    content = json.dumps(
        [
            position,
            previous_digest.hex(),
            record.id,
            record.at.astimezone(UTC).isoformat(timespec="microseconds"),
            record.actor,
            record.action,
            record.workspace_id,
            record.org_id,
            record.subject,
            record.details,
        ],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
    return _hash(content, key)
