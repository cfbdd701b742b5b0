import itertools
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_cli import sse
from molecule_cli.sse import read_events

ENDS = ["\n", "\r", "\r\n"]
OTHER_SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

data_lines = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]) | st.sampled_from(OTHER_SEPARATORS)
)


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


@pytest.mark.covers("TXT-06")
@given(
    st.lists(st.lists(data_lines, min_size=1, max_size=3).filter(any), max_size=4),
    st.sampled_from(ENDS),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_every_event_is_read_whole_wherever_the_stream_is_cut_into_chunks(events, end, places):
    stream = "".join("".join(f"data: {line}{end}" for line in lines) + f": ping{end}{end}" for lines in events)

    assert list(read_events(cut(stream.encode(), places))) == ["\n".join(lines) for lines in events]


@pytest.mark.covers("TXT-06")
@pytest.mark.parametrize("separator", OTHER_SEPARATORS)
def test_no_other_separator_ends_a_line(separator):
    assert list(read_events([f"data: a{separator}data: b\n\n".encode()])) == [f"a{separator}data: b"]


@pytest.mark.covers("TXT-06")
@pytest.mark.parametrize("rest", ["", "\n", "\ndata: d", "\r", "\n: comment\n"])
def test_an_event_that_is_cut_off_is_ignored(rest):
    assert list(read_events([f"data: a\n\ndata: c{rest}".encode()])) == ["a"]


@pytest.mark.covers("TXT-06")
def test_a_long_line_in_many_chunks_is_read_in_one_pass():
    """Joining and searching the line again for each chunk would take more than ten seconds of the processor."""
    began = time.process_time()

    [event] = read_events(itertools.chain([b"data: "], itertools.repeat(b"x" * 1024, 4096), [b"\n\n"]))

    assert len(event) == 4096 * 1024
    assert time.process_time() - began < 2


def test_a_line_is_read_when_its_end_has_arrived():
    received = []

    def chunks():
        yield b"data: a\r\r"
        received.append(next_event)
        yield b"\ndata: b\r\n\r"
        yield b"\n"

    events = read_events(chunks())
    next_event = next(events)
    assert received == []
    assert [next_event, *events] == ["a", "b"]


def test_fields_are_parsed_as_the_standard_says():
    stream = b"\xef\xbb\xbfid: 7\ndata\ndata:x\ndata:  y\nDATA: no\nretry\n\n:\n\ndata\n\nevent: z\n\n"

    assert list(read_events([stream])) == ["\nx\n y"]


def test_an_event_above_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_CHARS", 10)

    for stream in (b"data: 12345678901", b"data: 123456\ndata: 789012\n\n"):
        with pytest.raises(ValueError, match="more than 10 characters"):
            list(read_events([stream]))
