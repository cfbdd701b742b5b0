import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.answered_tasks import AnsweredTask
from services.a2a_proxy.stream_tasks import MAX_SEARCHED_BYTES, TaskFinder

TASK = AnsweredTask("t", "c", "working", is_whole=True)


def build_stream(line_end: bytes, *, multiline: bool = False) -> bytes:
    result = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}
    message = json.dumps({"result": {"kind": "message", "parts": []}}).encode()
    data = json.dumps({"result": result}, indent=1 if multiline else None).encode()
    lines = [b": ping", b"", b"data: " + message, b"", b"event: x"]
    lines += [b"data:" + line for line in data.split(b"\n")]
    return line_end.join([*lines, b"", b"data: later", b"", b""])


@given(st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.lists(st.integers(0, 400), max_size=12))
def test_the_task_is_found_once_however_the_stream_is_cut(line_end, multiline, cuts):
    stream = build_stream(line_end, multiline=multiline)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    finder = TaskFinder()

    found = [finder.feed(stream[start:end]) for start, end in pairwise(places) if finder.is_searching]

    assert [task for task in found if task is not None] == [TASK]
    assert not finder.is_searching


@pytest.mark.parametrize("piece", [b"x", b"\n", b"data: x\n", b": ping\n\n", b"\r"])
def test_the_search_ends_after_a_while(piece):
    finder = TaskFinder()
    count = 0
    while finder.is_searching:
        assert finder.feed(piece) is None
        count += len(piece)

    assert MAX_SEARCHED_BYTES <= count < MAX_SEARCHED_BYTES + len(piece)
