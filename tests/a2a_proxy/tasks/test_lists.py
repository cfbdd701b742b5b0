"""What a list of tasks asks for, and the page that answers it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.model import Dialect
from services.a2a_proxy.tasks.lists import InvalidQueryError, build_list, parse_query
from services.a2a_proxy.tasks.model import ListPosition, TaskListQuery

TASK = {"id": "t", "artifacts": [1], "history": [1, 2]}

POSITIONS = st.builds(
    ListPosition,
    st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 10**17),
)


@given(POSITIONS)
def test_the_token_of_a_page_leads_to_its_position(position):
    page = build_list([], TaskListQuery(), Dialect.CURRENT, total=1, before=position)

    assert parse_query({"pageToken": page["nextPageToken"]}).before == position


def test_a_query_without_members_asks_for_50_tasks_of_any_kind():
    assert parse_query({}) == parse_query({"contextId": "", "status": "", "pageToken": ""}) == TaskListQuery()
    assert TaskListQuery().page_size == 50


def test_members_count_in_both_spellings():
    at = "2026-01-01T00:00:00+00:00"
    camel = {"contextId": "c", "pageSize": 2, "pageToken": "7-9", "historyLength": 3, "includeArtifacts": True}
    snake = {"context_id": "c", "page_size": 2, "page_token": "7-9", "history_length": 3, "include_artifacts": True}

    found = parse_query({**camel, "status": "TASK_STATE_WORKING", "statusTimestampAfter": at})
    assert found == parse_query({**snake, "status": "working", "status_timestamp_after": at})
    assert found == TaskListQuery(
        context_id="c",
        state="working",
        changed_after=datetime(2026, 1, 1, tzinfo=UTC),
        page_size=2,
        before=ListPosition(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=7), 9),
        history_length=3,
        has_artifacts=True,
    )


@pytest.mark.parametrize(
    ("params", "text"),
    [
        *(({"pageSize": size}, "pageSize must be an integer from 1 to 100") for size in (0, 101, "2", True, 1.0)),
        *(({"pageToken": token}, "pageToken must be one of an earlier page") for token in (7, "7", "7-", "-7", "7-7 ")),
        ({"contextId": "x" * 1001}, "contextId must be a text of at most 1000 characters"),
        ({"contextId": "x\0"}, "contextId must be a text of at most 1000 characters"),
        *(({"statusTimestampAfter": at}, "must be a time with a zone") for at in ("2026-01-01T00:00:00", "x", 1)),
        ({"status": "odd"}, "status must be one of: TASK_STATE_SUBMITTED, "),
    ],
)
def test_what_cannot_be_asked_for_is_refused(params, text):
    with pytest.raises(InvalidQueryError, match=text):
        parse_query(params)


def test_a_page_shows_what_was_asked_for():
    whole = build_list([TASK], TaskListQuery(has_artifacts=True), Dialect.CURRENT, total=9, before=None)
    short = build_list([TASK], TaskListQuery(history_length=1, page_size=1), Dialect.CURRENT, total=9, before=None)

    assert whole == {"tasks": [TASK], "nextPageToken": "", "pageSize": 50, "totalSize": 9}
    assert short == {"tasks": [{"id": "t", "history": [2]}], "nextPageToken": "", "pageSize": 1, "totalSize": 9}
