"""The pure rules of activity that agents report."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy import reported_activity as module
from services.a2a_proxy.errors import ForeignSource, InvalidActivity
from services.a2a_proxy.model import Activity, WorkspaceId
from services.a2a_proxy.reported_activity import ReportedActivity, build_row

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
W, OTHER = (WorkspaceId(str(uuid4())) for _ in range(2))
REPORTED = ReportedActivity(workspace_id=W, activity_type="agent_log")

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def build(reported, *, author=None):
    return build_row(reported, author=author, row_id="row", at=NOW)


def test_a_row_has_what_was_reported_and_defaults_for_the_rest():
    assert build(REPORTED) == Activity(
        id="row",
        workspace_id=W,
        activity_type="agent_log",
        source_id=W,
        status="ok",
        created_at=NOW,
    )
    reported = ReportedActivity(
        workspace_id=W,
        activity_type="a2a_send",
        source_id=OTHER.upper(),
        target_id=OTHER.upper(),
        method="message/send",
        summary="sent",
        status="error",
        error_detail="why",
        duration_ms=0,
        request_body="[1.0]",
        response_body="null",
        metadata="{}",
    )
    assert build(reported) == Activity(
        id="row",
        workspace_id=W,
        activity_type="a2a_send",
        source_id=OTHER,
        target_id=OTHER,
        method="message/send",
        summary="sent",
        status="error",
        error_detail="why",
        duration_ms=0,
        request_body="[1.0]",
        response_body="null",
        created_at=NOW,
    )


def test_metadata_replaces_a_missing_request_body_only():
    assert build(replace(REPORTED, metadata='{"a":1}')).request_body == '{"a":1}'
    assert build(replace(REPORTED, metadata='{"a":1}', request_body="")).request_body == ""


@pytest.mark.parametrize("kind", module.REPORTED_TYPES)
def test_each_type_that_agents_may_report_is_accepted(kind):
    assert build(replace(REPORTED, activity_type=kind)).activity_type == kind


@pytest.mark.parametrize("kind", ["", "delegation", "cron_run", "memory_write_global", "AGENT_LOG", "agent_log "])
def test_another_type_is_refused_with_the_list(kind):
    with pytest.raises(InvalidActivity) as refusal:
        build(replace(REPORTED, activity_type=kind))

    assert refusal.value.message == (
        "invalid activity_type, must be one of: "
        "a2a_send, a2a_receive, task_update, agent_log, skill_promotion, memory_write, error"
    )


def test_a_workspace_reports_what_came_from_itself_and_others_report_any_source():
    assert build(REPORTED, author=W).source_id == W
    assert build(replace(REPORTED, source_id=W.upper()), author=W).source_id == W
    assert build(replace(REPORTED, source_id=OTHER)).source_id == OTHER
    with pytest.raises(ForeignSource):
        build(replace(REPORTED, source_id=OTHER), author=W)


@pytest.mark.parametrize(
    ("field", "most"), [("method", 200), ("summary", 1024), ("status", 50), ("error_detail", 16_384)]
)
def test_a_text_is_limited_in_bytes(field, most):
    assert getattr(build(replace(REPORTED, **{field: "é" * (most // 2)})), field) == "é" * (most // 2)
    with pytest.raises(InvalidActivity) as refusal:
        build(replace(REPORTED, **{field: "é" * (most // 2) + "x"}))

    assert refusal.value.message == f"{field} must be <= {most} bytes"


def test_a_duration_is_not_negative():
    with pytest.raises(InvalidActivity, match="duration_ms must not be negative"):
        build(replace(REPORTED, duration_ms=-1))


@pytest.mark.parametrize("field", ["source_id", "target_id"])
@pytest.mark.parametrize("text", ["", "nobody", W + "0"], ids=["empty", "a word", "too long"])
def test_an_id_that_is_no_uuid_is_refused(field, text):
    with pytest.raises(InvalidActivity, match="invalid request body"):
        build(replace(REPORTED, **{field: text}))


@pytest.mark.parametrize(
    "field", ["method", "summary", "status", "error_detail", "request_body", "response_body", "metadata"]
)
def test_a_nul_which_the_database_refuses_is_refused_before_it_reaches_a_batch(field):
    with pytest.raises(InvalidActivity):
        build(replace(REPORTED, **{field: "a\0b"}))


@given(
    st.sampled_from(module.REPORTED_TYPES),
    st.dictionaries(st.sampled_from(["method", "summary", "error_detail"]), texts),
)
def test_every_report_is_a_row_that_can_be_stored_or_is_refused(kind, fields):
    try:
        row = build(ReportedActivity(workspace_id=W, activity_type=kind, **fields))
    except InvalidActivity:
        return
    assert all("\0" not in text for text in fields.values() if text is not None)
    assert len((row.summary or "").encode()) <= module.MAX_SUMMARY_BYTES
