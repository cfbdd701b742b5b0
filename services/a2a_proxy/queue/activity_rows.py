"""Builds the activity rows about the end of a message; the row of its acceptance has the request."""

from datetime import timedelta

from services.a2a_proxy.message_activity import MessageActivity
from services.a2a_proxy.model import Activity, Answer
from services.a2a_proxy.queue.model import MessageState, QueuedMessage
from services.a2a_proxy.queue.rules import describe_end

UNDELIVERED_SUMMARIES = {
    MessageState.DEAD: "Queued message not delivered: dead",
    MessageState.UNKNOWN: "Queued message perhaps delivered: unknown",
    MessageState.EXPIRED: "Queued message not delivered: expired",
    MessageState.DROPPED: "Queued message not delivered: dropped",
}
"""The line about a message that ended without an answer, by its state."""


def build_answer_row(message: QueuedMessage, agent_time: timedelta) -> Activity:
    """Return the row of a message that was delivered."""
    builder = _open(message)
    summary = "Queued message delivered"
    if message.answer_status is None:
        return builder.build(summary=summary, status="error", agent_time=agent_time, error_detail=message.last_error)
    answer = Answer(status=message.answer_status, headers=message.answer_headers, body=message.answer_body or b"")
    return builder.build_from_answer(answer, agent_time, summary=summary)


def build_end_row(message: QueuedMessage) -> Activity:
    """Return the row of a message that ended in one of UNDELIVERED_STATES."""
    summary = UNDELIVERED_SUMMARIES[message.state]
    return _open(message).build(summary=summary, status="error", error_detail=describe_end(message) or None)


def _open(message: QueuedMessage) -> MessageActivity:
    return MessageActivity(
        target=message.target_id,
        caller=message.caller_id,
        method=message.method,
        body=None,
        created_at=message.ended_at or message.accepted_at,
    )
