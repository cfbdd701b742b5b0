from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gateway.preconditions import build_etag, format_http_date, is_known

MODIFIED = datetime(2026, 5, 1, 8, 30, 15, tzinfo=UTC)
DATE = "Fri, 01 May 2026 08:30:15 GMT"
TAG = build_etag(b"content")


def known(*, modified_at=MODIFIED, **headers):
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return is_known(Headers(raw=raw), etag=TAG, modified_at=modified_at)


def test_a_date_is_written_in_the_form_of_http():
    assert format_http_date(MODIFIED) == DATE
    assert format_http_date(MODIFIED.astimezone()) == DATE


def test_different_content_has_different_tags():
    assert build_etag(b"other content") != TAG
    assert TAG.startswith('W/"')


@pytest.mark.parametrize(
    ("date", "is_kept"),
    [
        (DATE, True),
        ("Fri, 01 May 2026 08:30:16 GMT", True),
        ("Fri, 01 May 2026 08:30:14 GMT", False),
        ("Friday, 01-May-26 08:30:15 GMT", True),
        ("Fri May  1 08:30:15 2026", True),
        ("Fri, 01 May 2026 10:30:15 +0200", True),
        ("", False),
        ("yesterday", False),
        ("Fri, 01 May 99999 08:30:15 GMT", False),
        ("Fri, 01 May 2026 08:30:15 GMT" + " " * 64, False),
    ],
)
def test_a_client_with_a_date_from_then_on_has_the_content(date, is_kept):
    assert known(if_modified_since=date) is is_kept


def test_without_a_date_of_the_content_the_date_of_the_client_counts_for_nothing():
    assert not known(modified_at=None, if_modified_since=DATE)
    assert not known()


@pytest.mark.parametrize("tags", [TAG, TAG.removeprefix("W/"), f'"other", {TAG}', "*"])
def test_a_client_with_the_tag_has_the_content(tags):
    assert known(if_none_match=tags)
    assert known(if_none_match=tags, modified_at=None)


def test_a_tag_counts_more_than_a_date():
    assert not known(if_none_match='"other"', if_modified_since=DATE)
    assert known(if_none_match=TAG, if_modified_since=format_http_date(MODIFIED - timedelta(days=1)))


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_any_date_can_be_judged(text):
    assert known(if_modified_since=text) in {True, False}
