"""Decides whether a client already has what it asks for, by its entity tag or its date (RFC 9110, 13). Pure."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.datastructures import Headers

MAX_DATE_CHARS = 64
"""Characters of the longest date that is parsed."""


def build_etag(content: bytes) -> str:
    """Return a weak entity tag for a body whose content this is."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'


def format_http_date(moment: datetime) -> str:
    """Return a moment in UTC, in whole seconds, as HTTP writes it."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def is_known(headers: Headers, *, etag: str, modified_at: datetime | None) -> bool:
    """Whether the client has the body with this tag. Its date counts only if it names no tag."""
    conditions = headers.getlist("if-none-match")
    if conditions:
        return _matches_etag(etag, conditions)
    known_at = _parse_http_date(headers.get("if-modified-since", ""))
    return modified_at is not None and known_at is not None and modified_at <= known_at


def _matches_etag(tag: str, conditions: Sequence[str]) -> bool:
    """Whether If-None-Match names the tag, by the weak comparison of RFC 9110."""
    named = {part.strip().removeprefix("W/") for line in conditions for part in line.split(",")}
    return "*" in named or tag.removeprefix("W/") in named


def _parse_http_date(text: str) -> datetime | None:
    """Return the moment of a date, or `None` for another text, which counts as none."""
    if len(text) > MAX_DATE_CHARS:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
