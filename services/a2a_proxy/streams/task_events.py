"""Keeps what is known of the task of a stream, and builds the events about it that the plane adds."""

from collections.abc import Iterable
from datetime import datetime

from molecule_a2a.model import Dialect
from services.a2a_proxy.answered_tasks import AnsweredTask, find_task
from services.a2a_proxy.model import JsonObject
from services.a2a_proxy.streams import frames
from services.a2a_proxy.tasks.events import build_beginning, build_update, render_event
from services.a2a_proxy.tasks.views import format_time, in_dialect

FINAL_STATES = frozenset({"completed", "failed", "canceled", "rejected"})

AGENT_GONE = "the agent ended before it had finished the task"

MAX_KEPT_BYTES = 64 * 1024
"""Bytes of the largest event that is kept until it is known whether the state in it matters."""


class TaskProgress:
    """The task of a stream, as its events tell of it. An event costs one search; few of them are parsed."""

    def __init__(self) -> None:
        self.task: AnsweredTask | None = None
        self._is_final = False
        self._last_status = b""

    def note(self, frame: bytes) -> bool:
        """Note an event with data; returns whether it is the first that tells of the task."""
        if self.task is None:
            self.task = find_task(frames.find_data(frame))
            if self.task is not None:
                self._is_final = self.task.state in FINAL_STATES
                return True
        elif b'"status"' in frame:
            if len(frame) <= MAX_KEPT_BYTES:
                self._last_status = frame
            else:
                self._last_status, self._is_final = b"", _is_final(frame)
        return False

    def is_open(self) -> bool:
        """Whether there is a task, and nothing says that it has ended."""
        return self.task is not None and not self.has_ended()

    def has_ended(self) -> bool:
        """Whether there is a task, and its last status says that it has ended."""
        if self._last_status:
            self._is_final, self._last_status = _is_final(self._last_status), b""
        return self._is_final


def has_ended(last_events: Iterable[bytes]) -> bool:
    """Whether the last events of a stream say that its task has ended."""
    progress = TaskProgress()
    for event in last_events:
        progress.note(event)
    return progress.has_ended()


def build_failure(task: AnsweredTask, request_id: bytes, dialect: Dialect, *, at: datetime, message_id: str) -> bytes:
    """Return the event that tells that a task failed because its agent is gone."""
    message: JsonObject = {
        "kind": "message",
        "messageId": message_id,
        "role": "agent",
        "parts": [{"kind": "text", "text": AGENT_GONE}],
        "taskId": task.id,
    }
    if task.context_id is not None:
        message["contextId"] = task.context_id
    status = {"state": "failed", "timestamp": format_time(at), "message": message}
    failed = {"kind": "task", "id": task.id, "contextId": task.context_id or "", "status": status}
    return render_event(request_id, build_update(in_dialect(failed, dialect), dialect, is_final=True))


def build_first_event(frame: bytes, request_id: bytes, dialect: Dialect) -> bytes:
    """Return the task that has to precede the first event of a recording for a subscriber; empty if none has to.

    In 1.0 a subscription begins with the task. A recording begins with what the agent answered a message with.
    """
    task = None if dialect is Dialect.LEGACY else find_task(frames.find_data(frame))
    if task is None or task.is_whole:
        return b""
    begun = {"kind": "task", "id": task.id, "contextId": task.context_id or "", "status": {"state": "working"}}
    return render_event(request_id, build_beginning(in_dialect(begun, dialect), dialect))


def _is_final(frame: bytes) -> bool:
    found = find_task(frames.find_data(frame))
    return found is not None and found.state in FINAL_STATES
