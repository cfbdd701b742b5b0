"""Checks the activity that agents report, and builds its rows (docs/spec/rest.md, 6.6)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.a2a_proxy.errors import ForeignSource, InvalidActivity
from services.a2a_proxy.model import Activity, WorkspaceId

REPORTED_TYPES = ("a2a_send", "a2a_receive", "task_update", "agent_log", "skill_promotion", "memory_write", "error")
"""The types of activity that agents may report; only the plane writes the others."""

MAX_METHOD_BYTES = 200
MAX_STATUS_BYTES = 50

MAX_SUMMARY_BYTES = 1024
MAX_ERROR_DETAIL_BYTES = 16_384
"""Agents of this repository send at most 256 characters of a summary and 4096 of an error (AGT-09)."""

DEFAULT_STATUS = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedActivity:
    """What an agent reports. Bodies and metadata are JSON texts."""

    workspace_id: WorkspaceId
    activity_type: str
    source_id: str | None = None
    target_id: str | None = None
    method: str | None = None
    summary: str | None = None
    status: str = ""
    error_detail: str | None = None
    duration_ms: int | None = None
    request_body: str | None = None
    response_body: str | None = None
    metadata: str | None = None


def build_row(reported: ReportedActivity, *, author: WorkspaceId | None, row_id: str, at: datetime) -> Activity:
    """Return the row of a report; raises `InvalidActivity` or `ForeignSource`.

    `author` is the workspace whose token was used; `None` for callers that are no workspace.
    """
    if reported.activity_type not in REPORTED_TYPES:
        raise InvalidActivity(f"invalid activity_type, must be one of: {', '.join(REPORTED_TYPES)}")
    for name, text, most in (
        ("method", reported.method, MAX_METHOD_BYTES),
        ("summary", reported.summary, MAX_SUMMARY_BYTES),
        ("status", reported.status, MAX_STATUS_BYTES),
        ("error_detail", reported.error_detail, MAX_ERROR_DETAIL_BYTES),
    ):
        _check_length(name, text, most)
    if reported.duration_ms is not None and reported.duration_ms < 0:
        raise InvalidActivity("duration_ms must not be negative")
    _check_storable(reported)
    source = _parse_id(reported.source_id) or reported.workspace_id
    if author is not None and source != author:
        raise ForeignSource
    return Activity(
        id=row_id,
        workspace_id=reported.workspace_id,
        activity_type=reported.activity_type,
        source_id=source,
        target_id=_parse_id(reported.target_id),
        method=reported.method,
        summary=reported.summary,
        status=reported.status or DEFAULT_STATUS,
        duration_ms=reported.duration_ms,
        error_detail=reported.error_detail,
        request_body=reported.metadata if reported.request_body is None else reported.request_body,
        response_body=reported.response_body,
        created_at=at,
    )


def _check_length(name: str, text: str | None, most: int) -> None:
    if text is not None and len(text.encode()) > most:
        raise InvalidActivity(f"{name} must be <= {most} bytes")


def _check_storable(reported: ReportedActivity) -> None:
    """Raise `InvalidActivity` for a NUL: the database refuses it, and with it every other row of the same batch."""
    texts = (
        *(reported.method, reported.summary, reported.status, reported.error_detail),
        *(reported.request_body, reported.response_body, reported.metadata),
    )
    if any(text is not None and "\0" in text for text in texts):
        raise InvalidActivity


def _parse_id(text: str | None) -> WorkspaceId | None:
    if text is None:
        return None
    try:
        return WorkspaceId(str(UUID(text)))
    except ValueError:
        raise InvalidActivity from None
