"""Builds the activity rows of a message: when it is answered, when it is not, and when it is queued."""

import time
from datetime import datetime, timedelta
from uuid import uuid4

from services.a2a_proxy import outcome
from services.a2a_proxy.model import Activity, Answer, Stream, WorkspaceId
from services.chassis.errors import ServiceError

MAX_STORED_BODY_BYTES = 10 * 1024 * 1024
"""Bytes of the largest answer that is stored with its row."""

MAX_METHOD_LENGTH = 200
"""Characters of a method name that the activity log stores."""


class MessageActivity:
    """Builds the rows of one message; it is created when the message is sent or stored."""

    def __init__(
        self,
        *,
        target: WorkspaceId,
        caller: WorkspaceId | None,
        method: str,
        body: bytes | None,
        created_at: datetime,
    ) -> None:
        """`body` is the request; `None` where another row has it."""
        self._target = target
        self._caller = caller
        self._method = method
        self._body = body
        self._created_at = created_at
        self._started = time.perf_counter()

    def measure_time(self) -> timedelta:
        """Return the time since the message was sent."""
        return timedelta(seconds=time.perf_counter() - self._started)

    def build_from_answer(self, answer: Answer, agent_time: timedelta, *, summary: str | None = None) -> Activity:
        """Return the row of a message that was answered."""
        return self.build(
            summary=summary,
            status="error" if outcome.is_error(answer) else "ok",
            agent_time=agent_time,
            response_body=outcome.decode_json(answer.body) if len(answer.body) <= MAX_STORED_BODY_BYTES else None,
            tool_trace=outcome.extract_tool_trace(answer.body),
        )

    def build_from_error(self, error: ServiceError, agent_time: timedelta) -> Activity:
        """Return the row of a message that was not answered."""
        return self.build(status="error", agent_time=agent_time, error_detail=error.message)

    def build_from_stream(self, stream: Stream, tail: bytes, *, interrupted: bool) -> Activity:
        """Return the row of a message that was answered by a stream, with the last event of the stream."""
        last = Answer(status=stream.status, body=outcome.find_last_event(tail) or b"")
        return self.build(
            status="error" if interrupted or outcome.is_error(last) else "ok",
            agent_time=self.measure_time(),
            error_detail="upstream stream interrupted" if interrupted else None,
            response_body=outcome.decode_json(last.body),
            tool_trace=outcome.extract_tool_trace(last.body),
        )

    def build(
        self,
        *,
        id_: str | None = None,
        status: str = "ok",
        summary: str | None = None,
        agent_time: timedelta | None = None,
        error_detail: str | None = None,
        response_body: str | None = None,
        tool_trace: str | None = None,
    ) -> Activity:
        """Return a row in the target's activity."""
        return Activity(
            id=id_ or str(uuid4()),
            workspace_id=self._target,
            activity_type="a2a_receive",
            source_id=self._caller,
            target_id=self._target,
            method=shorten_method(self._method),
            summary=summary,
            status=status,
            duration_ms=None if agent_time is None else round(agent_time.total_seconds() * 1000),
            error_detail=error_detail,
            request_body=None if self._body is None else self._body.decode(),
            response_body=response_body,
            tool_trace=tool_trace,
            created_at=self._created_at,
        )


def shorten_method(method: str) -> str:
    """Return a method name that the database can store: at most 200 characters, valid UTF-8, without NUL."""
    return method[:MAX_METHOD_LENGTH].encode(errors="replace").decode().replace("\0", "")
