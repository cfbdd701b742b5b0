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

BEGINNING = bytes(32)
"""What the first deed is linked to."""

MOST_DETAILS = 4096
"""Bytes that the details of a deed may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
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
class Link:
    """A deed in its place."""

    place: int
    deed: Deed
    digest: bytes
    key_id: str
    """Which key linked it; empty for none."""


@dataclass(frozen=True, slots=True)
class Key:
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
class Finding:
    """The verdict, the last place looked at, and the last link that was found intact."""

    verdict: Verdict
    place: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """What following a stretch of the chain found, and whether nothing comes after it."""

    finding: Finding
    complete: bool


def linked(deed: Deed, *, after: Link | None, key: Key) -> Link:
    """The deed in the next place."""
    place = after.place + 1 if after else 1
    before = after.digest if after else BEGINNING
    return Link(place=place, deed=deed, digest=_digest(place, before, deed, key), key_id=key.id)


def follow(links: Iterable[Link], *, after: Link | None, key: Key) -> Finding:
    """Whether each link is the one that follows from the link before it."""
    place, digest = (after.place, after.digest) if after else (0, BEGINNING)
    for link in links:
        place += 1
        if link.key_id not in {"", key.id}:
            return Finding(verdict=Verdict.UNCHECKABLE, place=place, digest=digest)
        expected = _digest(place, digest, link.deed, key if link.key_id else Key())
        if link.place != place or not hmac.compare_digest(link.digest, expected):
            return Finding(verdict=Verdict.BROKEN, place=place, digest=digest)
        digest = link.digest
    return Finding(verdict=Verdict.INTACT, place=place, digest=digest)


def written(details: Mapping[str, object]) -> str:
    """Details as a deed keeps them."""
    return json.dumps(dict(details), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(place: int, before: bytes, deed: Deed, key: Key) -> bytes:
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
