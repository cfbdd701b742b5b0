from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.event_memory import EventMemory
from gateway.sse_parser import Comment, EventTooLargeError, ServerEvent, SseParser


def parse(*chunks, finish=False):
    parser = SseParser()
    found = [item for chunk in chunks for item in parser.feed(chunk)]
    return found + (parser.finish() if finish else [])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_with_cr_or_lf_or_both(end):
    lines = (b"id: 7", b"event: x", b"data: a", b"data:b", b"data", b"", b": ping", b"", b"data: c", b"", b"")
    assert parse(end.join(lines)) == [ServerEvent(b"a\nb\n", b"7"), Comment(b" ping"), ServerEvent(b"c")]


def test_a_comment_within_an_event_comes_first():
    assert parse(b"data: a\n: ping\ndata: b\n\n") == [Comment(b" ping"), ServerEvent(b"a\nb")]


def test_an_event_without_data_is_none():
    assert parse(b"\n\nevent: x\nid: 1\nretry: 5\n\ndata: a\n\n") == [ServerEvent(b"a")]


def test_a_byte_order_mark_and_an_id_with_nul_are_ignored():
    assert parse(b"\xef\xbb\xbfdata: a\nid: \0\n\n") == [ServerEvent(b"a")]


def test_the_last_event_may_end_without_an_empty_line():
    for rest in (b"", b"\n"):
        assert parse(b"data: a" + rest, finish=True) == [ServerEvent(b"a")]
    assert parse(b"data: a\n\n", finish=True) == [ServerEvent(b"a")]
    assert parse(b": x", finish=True) == []


@given(
    st.lists(st.sampled_from([b"data: a", b"data:", b": c", b"id: 1", b"event: e", b"", b"\xe2\x98\x83"]), max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(1, 80), max_size=6),
)
def test_chunks_do_not_matter(lines, end, cuts):
    text = end.join([*lines, b"data: z", b"", b""])
    places = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]
    chunks = [text[start:stop] for start, stop in pairwise(places)]
    assert parse(*chunks) == parse(text)
    assert parse(*(bytes([byte]) for byte in text)) == parse(text)


def test_an_event_is_limited_and_others_do_not_count():
    parser = SseParser(max_bytes=20)
    assert parser.feed(b"data: 1234567890\n\n" * 5) == [ServerEvent(b"1234567890")] * 5
    assert parser.feed(b": 1234567890\n" * 5) == [Comment(b" 1234567890")] * 5
    assert parser.kept_bytes == 0
    parser.feed(b"data: 12345\ndata:")
    assert parser.kept_bytes == 16
    with pytest.raises(EventTooLargeError):
        parser.feed(b"12345")


def test_streams_share_the_memory_of_incomplete_events():
    memory = EventMemory(max_bytes=10)
    assert memory.replace(0, 6)
    assert not memory.replace(0, 5)
    assert memory.replace(5, 0)
    assert memory.replace(0, 4)
    assert memory.used_bytes == 10
