import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.streams import frames
from services.a2a_proxy.streams.frames import FrameReader, FrameTooLarge

LINES = st.sampled_from(
    [b"data: 1", b"data:", b"data", b": ping", b"id: 3", b"event: x", b"", b"dataset: 1", b"\xff\xfe"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(lambda lines: b"".join(a + b for a, b in lines))
CUTS = st.lists(st.integers(0, 120), max_size=6)


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut <= len(stream)), len(stream)]
    return [stream[begin:end] for begin, end in itertools.pairwise(places)]


def read(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    reader = FrameReader(max_frame_bytes=1000)
    found = [frame for piece in pieces for frame in reader.read(piece)]
    return found, reader.take_rest()


def parse(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Return the last id and the data of each event, as the HTML standard has a client read them."""
    events, data, last_id = [], [], b""
    for line in re.split(rb"\r\n|\n|\r", stream)[:-1]:
        name, _, value = line.partition(b":")
        if not line and data:
            events.append((last_id, b"\n".join(data)))
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"id":
            last_id = value.removeprefix(b" ")
    return events


@given(STREAMS, CUTS)
def test_the_events_joined_are_the_stream(stream, cuts):
    found, rest = read(split(stream, cuts))

    assert b"".join(found) + rest == stream


@given(STREAMS, CUTS)
def test_no_event_begins_in_what_is_left(stream, cuts):
    found, rest = read(split(stream, cuts))

    assert parse(b"".join(found)) == parse(stream)
    assert parse(rest) == []


@given(STREAMS, CUTS)
def test_an_added_id_is_that_of_its_event_and_changes_no_data(stream, cuts):
    found, _ = read(split(stream, cuts))
    named = [
        frames.add_id(frame, b"n-%d" % place) if frames.has_data(frame) and not frames.has_id(frame) else frame
        for place, frame in enumerate(found)
    ]
    expected = [
        (parse(frame)[0][0] if frames.has_id(frame) else b"n-%d" % place, parse(frame)[0][1])
        for place, frame in enumerate(found)
        if frames.has_data(frame)
    ]

    assert parse(b"".join(named)) == expected


@given(STREAMS)
def test_the_data_of_an_event_is_what_a_client_reads(stream):
    for frame in read([stream])[0]:
        if frames.has_data(frame) and not re.search(rb"(\A|[\r\n])data[\r\n]", frame):
            assert frames.find_data(frame) in [data for _, data in parse(frame)] or frames.find_data(frame) == b""


def test_an_event_may_be_as_large_as_the_limit():
    assert FrameReader(max_frame_bytes=10).read(b"data: 12\n\n") == [b"data: 12\n\n"]


@pytest.mark.parametrize("piece", [b"data: 1\n\ndata: 1234567", b"data: 1\n\ndata: 1234\n\n"])
def test_a_larger_event_is_refused_and_nothing_is_lost(piece):
    reader = FrameReader(max_frame_bytes=10)
    with pytest.raises(FrameTooLarge):
        reader.read(piece)

    assert reader.take_rest() == piece


def test_the_mark_at_the_beginning_is_dropped():
    reader = FrameReader(max_frame_bytes=100)

    assert [reader.read(piece) for piece in (b"\xef", b"\xbb", b"\xbfdata: 1\n\n")] == [[], [], [b"data: 1\n\n"]]


def test_data_is_replaced_and_the_other_lines_stay():
    assert frames.replace_data(b"id: 1\r\ndata: a\r\ndata: b\r\n\r\n", b"c") == b"id: 1\ndata: c\n\n"
