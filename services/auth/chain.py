"""The chain of deeds: each is linked to the one before, so that none can be changed, taken out or put in unseen.

The link of a deed is the SHA-256 of its place, the link before and all that the deed says, as one JSON array; with a
key it is the HMAC of the same, which nobody can forge who does not know the key.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

GENESIS_DIGEST = bytes(32)
"""What the first deed is linked to."""

MAX_DETAILS_BYTES = 4096
"""Bytes that the details of a deed may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Something that somebody did. `details` is compact JSON with sorted keys, so that its bytes can be linked."""

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
    """A deed in its place."""

    place: int
    deed: AuditRecord
    digest: bytes
    key_id: str
    """Which key linked it; empty for none."""


@dataclass(frozen=True, slots=True)
class ChainKey:
    """What links are made with, and its name. The name of no key is empty."""

    secret: bytes = field(default=b"", repr=False)

    @property
    def id(self) -> str:
        """A name for the key that does not tell it."""
        return hashlib.sha256(b"molecule audit key " + self.secret).hexdigest()[:12] if self.secret else ""


class Verdict(StrEnum):
    """What became of following the chain."""

    INTACT = "intact"
    BROKEN = "broken"
    UNCHECKABLE = "uncheckable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The verdict, the last place looked at, and the last link that was found intact."""

    verdict: Verdict
    place: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What following a stretch of the chain found, and whether nothing comes after it."""

    result: CheckResult
    complete: bool


def link_record(deed: AuditRecord, *, after: ChainedRecord | None, key: ChainKey) -> ChainedRecord:
    """The deed in the next place."""
    place = after.place + 1 if after else 1
    before = after.digest if after else GENESIS_DIGEST
    return ChainedRecord(place=place, deed=deed, digest=_compute_digest(place, before, deed, key), key_id=key.id)


def verify_chain(links: Iterable[ChainedRecord], *, after: ChainedRecord | None, key: ChainKey) -> CheckResult:
    """Whether each link is the one that follows from the link before it."""
    place, digest = (after.place, after.digest) if after else (0, GENESIS_DIGEST)
    for link in links:
        place += 1
        if link.key_id not in {"", key.id}:
            return CheckResult(verdict=Verdict.UNCHECKABLE, place=place, digest=digest)
        expected = _compute_digest(place, digest, link.deed, key if link.key_id else ChainKey())
        if link.place != place or not hmac.compare_digest(link.digest, expected):
            return CheckResult(verdict=Verdict.BROKEN, place=place, digest=digest)
        digest = link.digest
    return CheckResult(verdict=Verdict.INTACT, place=place, digest=digest)


def serialize_details(details: Mapping[str, object]) -> str:
    """Details as a deed keeps them."""
    return json.dumps(dict(details), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _compute_digest(place: int, before: bytes, deed: AuditRecord, key: ChainKey) -> bytes:
    said = json.dumps(
        [
            place,
            before.hex(),
            deed.id,
            deed.at.astimezone(UTC).isoformat(timespec="microseconds"),
            deed.actor,
            deed.action,
            deed.workspace_id,
            deed.org_id,
            deed.subject,
            deed.details,
        ],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
    return hmac.digest(key.secret, said, "sha256") if key.secret else hashlib.sha256(said).digest()
