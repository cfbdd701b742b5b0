"""Decides which positions of a recording can be replayed, and which answers of an agent a recording replaces."""

from molecule_a2a.errors import TASK_NOT_FOUND, UNSUPPORTED_OPERATION
from services.a2a_proxy.model import Answer
from services.a2a_proxy.streams import frames
from services.a2a_proxy.streams.model import Ending, RecordedStream
from services.chassis import strict_json

METHOD_NOT_FOUND = -32601

REPLACED_CODES = frozenset({METHOD_NOT_FOUND, UNSUPPORTED_OPERATION, TASK_NOT_FOUND})
"""The errors by which an agent says that it cannot stream a task: it has no such method, or not any more the task."""

MAX_ERROR_BYTES = 64 * 1024

FIRST_ERROR = 300


def is_kept(stream: RecordedStream, seq: int) -> bool:
    """Whether all events after a position are kept, or will be."""
    return stream.ending is not Ending.INCOMPLETE and stream.first_seq - 1 <= seq <= stream.last_seq


def is_whole(stream: RecordedStream) -> bool:
    """Whether a recording has its beginning."""
    return stream.ending is not Ending.INCOMPLETE and stream.first_seq == 1 and stream.last_seq > 0


def cannot_stream(answer: Answer) -> bool:
    """Whether an agent answers that it cannot stream a task."""
    if len(answer.body) > MAX_ERROR_BYTES or b'"error"' not in answer.body:
        return False
    body = answer.body if b"data:" not in answer.body[:64] else frames.find_data(answer.body)
    found = strict_json.find_member(body, "error", "code")
    return found is not None and found.strip() in _CODES


def replace_request_id(frame: bytes, request_id: bytes) -> bytes:
    """Return an event as the answer to another request; one that is no JSON object stays as it is."""
    if not frames.has_data(frame):
        return frame
    try:
        data = strict_json.parse(frames.find_data(frame))
    except strict_json.InvalidJson:
        return frame
    if not isinstance(data, dict) or "id" not in data:
        return frame
    return frames.replace_data(frame, strict_json.dump({**data, "id": strict_json.parse(request_id)}))


_CODES = frozenset(str(code).encode() for code in REPLACED_CODES)
