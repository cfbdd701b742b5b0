"""Event streams, read in pieces that end anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.event_streams import EventReader, EventTooLarge, StreamEvent, render_event

STREAM = b': hello\n\nid: 1\nevent: x\ndata: {"a":\ndata:1}\n\ndata\n\nretry: 5\ndata: 2\n\ndata: unfinished'

EVENTS = [
    StreamEvent(None, (b": hello",)),
    StreamEvent(b'{"a":\n1}', (b"id: 1", b"event: x")),
    StreamEvent(None, ()),
    StreamEvent(b"2", (b"retry: 5",)),
]


def read(pieces, *, limit: int = 10_000) -> list[StreamEvent]:
    reader = EventReader(max_event_bytes=limit)
    return [event for piece in pieces for event in reader.read(piece)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_in_pieces_of_any_size_and_with_any_line_end(line_end, size):
    stream = STREAM.replace(b"\n", line_end)

    assert read([stream[at : at + size] for at in range(0, len(stream), size)]) == EVENTS


@given(st.data())
def test_events_are_the_same_wherever_the_pieces_end(data):
    stream = STREAM.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n"])))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))

    assert read([stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]) == EVENTS


@given(st.binary(max_size=200))
def test_no_piece_of_bytes_breaks_the_reader(piece):
    assert all(isinstance(event, StreamEvent) for event in read([piece, piece]))


def test_an_event_that_grows_beyond_the_limit_is_refused():
    with pytest.raises(EventTooLarge):
        read([b"data: 12345678"], limit=10)


def test_many_events_in_one_piece_may_exceed_the_limit_together():
    assert len(read([b"data: 1\n\n" * 100], limit=10)) == 100


def test_a_rendered_event_reads_back():
    event = StreamEvent(b'{"a":1}', (b"id: 7", b": note"))

    assert read([render_event(event.data, event.other_lines)]) == [event]
