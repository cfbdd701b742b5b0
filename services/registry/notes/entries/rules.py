"""Rules of entries: which values are valid, and which version follows (docs/spec/rest.md, 6.14)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.registry.notes.errors import InvalidNote, VersionMismatch
from services.registry.workspace.validation import INVISIBLE_CHARS

MAX_KEY_BYTES = 200

MAX_VALUE_BYTES = 64 * 1024
"""Bytes of a value as compact JSON."""

MAX_TTL = timedelta(days=365)

MAX_ENTRIES_PER_WORKSPACE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueEntry:
    """A value under a key of a workspace. `value` is JSON text; `version` counts its writes."""

    key: str
    value: str
    version: int
    updated_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDraft:
    """A write. `if_match_version` is the version that it must replace, 0 if the key must not exist."""

    key: str
    value: str
    ttl_seconds: int | None = None
    if_match_version: int | None = None


def check_draft(draft: EntryDraft) -> None:
    """Raise `InvalidNote` if a write is not valid."""
    if not draft.key:
        raise InvalidNote("key is required")
    if len(draft.key.encode()) > MAX_KEY_BYTES:
        raise InvalidNote(f"key must be <= {MAX_KEY_BYTES} bytes")
    if INVISIBLE_CHARS.search(draft.key):
        raise InvalidNote("key must not contain control characters")
    if len(draft.value.encode()) > MAX_VALUE_BYTES:
        raise InvalidNote(f"value must be <= {MAX_VALUE_BYTES} bytes")
    if draft.ttl_seconds is not None and not 1 <= draft.ttl_seconds <= MAX_TTL.total_seconds():
        raise InvalidNote(f"ttl_seconds must be 1-{int(MAX_TTL.total_seconds())}")
    if draft.if_match_version is not None and draft.if_match_version < 0:
        raise InvalidNote("if_match_version must not be negative")


def build_next_entry(before: KeyValueEntry | None, draft: EntryDraft, now: datetime) -> KeyValueEntry:
    """Return the entry after a write; raises `VersionMismatch`."""
    current = before.version if before else None
    if draft.if_match_version is not None and draft.if_match_version != (current or 0):
        raise VersionMismatch(expected=draft.if_match_version, current=current)
    return KeyValueEntry(
        key=draft.key,
        value=draft.value,
        version=(current or 0) + 1,
        updated_at=now,
        expires_at=None if draft.ttl_seconds is None else now + timedelta(seconds=draft.ttl_seconds),
    )
