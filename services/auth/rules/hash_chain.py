"""Links audit records in a hash chain, so that changing, removing or inserting one is detected.

The digest of a record is the SHA-256 of a JSON array: its position, the digest before it and all its fields. With a
key it is the HMAC-SHA-256 of the same array, which cannot be forged without the key.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC

from services.auth.model.audit_log import AuditRecord, ChainedRecord, CheckResult, Verdict

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


def verify_chain(records: Iterable[ChainedRecord], *, previous: ChainedRecord | None, key: ChainKey) -> CheckResult:
    """Check that each record follows from the one before it; `previous` precedes the first, and is trusted."""
    position, digest = (previous.position, previous.digest) if previous else (0, GENESIS_DIGEST)
    for chained in records:
        position += 1
        if chained.key_id not in {"", key.id}:
            return CheckResult(verdict=Verdict.UNCHECKABLE, position=position, digest=digest)
        expected = _compute_digest(position, digest, chained.record, key if chained.key_id else ChainKey())
        if chained.position != position or not hmac.compare_digest(chained.digest, expected):
            return CheckResult(verdict=Verdict.BROKEN, position=position, digest=digest)
        digest = chained.digest
    return CheckResult(verdict=Verdict.INTACT, position=position, digest=digest)


def serialize_details(details: Mapping[str, object]) -> str:
    """Return the details as a record stores them: compact JSON with sorted keys."""
    return json.dumps(dict(details), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


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
    return hmac.digest(key.secret, content, "sha256") if key.secret else hashlib.sha256(content).digest()
