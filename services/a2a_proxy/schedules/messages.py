"""Builds the message that a run sends, and decides what came of it."""

from datetime import UTC, datetime
from typing import Any

from services.a2a_proxy import outcome
from services.a2a_proxy.model import Answer, AnswerReceipt, FailureReceipt, IncomingMessage, QueueReceipt
from services.a2a_proxy.requests import build_text_request
from services.a2a_proxy.schedules.rules import RunOutcome, Schedule
from services.a2a_proxy.task_states import FAILED_STATES, WORKING_STATES, read_state
from services.chassis import strict_json

RUN_TIMEOUT_SECONDS = 1800
"""Seconds that an agent may take for a run."""

FIRST_ERROR_STATUS = 300

QUEUED_TEXT = "queued: the prompt waits until the workspace takes it"

MAX_DEPTH = 20
"""Nesting levels of an answer in which a text is looked for."""


def build_message(schedule: Schedule, scheduled_at: datetime, *, began_at: float) -> IncomingMessage:
    """Return the message of a run. Its id depends on the schedule and the time, so that a repeated run is known.

    `began_at` is the present time, in seconds of the event loop.
    """
    message_id = f"cron-{schedule.id}-{scheduled_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return IncomingMessage(
        target=schedule.workspace_id,
        caller=None,
        body=build_text_request(message_id, schedule.prompt),
        headers={"content-type": "application/json"},
        began_at=began_at,
        timeout=str(RUN_TIMEOUT_SECONDS),
    )


def judge_queued(_: QueueReceipt) -> RunOutcome:
    """Return the outcome of a message that was accepted and waits."""
    return RunOutcome(is_ok=True, detail=QUEUED_TEXT)


def judge_failure(receipt: FailureReceipt) -> RunOutcome:
    """Return the outcome of a message that was not answered."""
    return RunOutcome(is_ok=False, detail=receipt.error.message)


def judge_answer(receipt: AnswerReceipt, body: bytes) -> RunOutcome:
    """Return the outcome of an answer, or of the last event of a streamed one. No text of the agent is repeated."""
    answer = Answer(status=receipt.answer.status, body=body)
    if answer.status >= FIRST_ERROR_STATUS:
        return RunOutcome(is_ok=False, detail=f"agent answered with HTTP status {answer.status}")
    if outcome.is_error(answer):
        return RunOutcome(is_ok=False, detail="agent answered with a JSON-RPC error")
    try:
        result = _find_result(body)
    except strict_json.InvalidJson:
        return RunOutcome(is_ok=True, is_empty=not body.strip())
    state = read_state(_unwrap(result))
    if state in FAILED_STATES:
        return RunOutcome(is_ok=False, detail="agent's task failed")
    return RunOutcome(is_ok=True, is_empty=state not in WORKING_STATES and is_empty(result))


def is_empty(result: Any) -> bool:  # noqa: ANN401 - JSON is anything
    """Whether a result has no content: no text, file or data in the parts of its messages and artifacts."""
    return not (_has_content(result, MAX_DEPTH) if isinstance(result, dict) else result)


def _find_result(body: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    value = strict_json.parse(body)
    return value.get("result") if isinstance(value, dict) else value


def _unwrap(result: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the task in a result of A2A 1.0; any other result unchanged."""
    return result.get("task", result) if isinstance(result, dict) else result


def _has_content(value: Any, depth: int) -> bool:  # noqa: ANN401 - JSON is anything
    """Whether a message, a task or an artifact has a part with content."""
    if depth == 0:
        return True
    if isinstance(value, list):
        return any(_has_content(one, depth - 1) for one in value)
    if not isinstance(value, dict):
        return False
    parts = value.get("parts")
    if isinstance(parts, list) and any(_is_content(part) for part in parts):
        return True
    holders = (value.get(name) for name in ("message", "task", "status", "artifacts"))
    return any(_has_content(holder, depth - 1) for holder in holders if holder is not None)


def _is_content(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    text = part.get("text")
    return (
        bool(text.strip()) if isinstance(text, str) else any(part.get(name) for name in ("file", "data", "raw", "url"))
    )
