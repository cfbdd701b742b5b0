"""Converts between rows of the queue and its types."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.queue.model import (
    HELD_STATES,
    Attempt,
    Change,
    LeaseKind,
    MessageState,
    NewMessage,
    QueuedMessage,
    Result,
    WaitReason,
)
from services.a2a_proxy.queue.rules import measure
from services.chassis import strict_json

CHANGED_COLUMNS = (
    "state",
    "result",
    "reason",
    "failures",
    "busy_answers",
    "not_before",
    "ended_at",
    "lease_kind",
    "lease_owner",
    "lease_expires_at",
    "last_error",
    "answer_status",
    "answer_body",
    "answer_state",
)
"""The columns that a change writes, besides the JSON texts and the body."""


def row_from_new(message: NewMessage) -> dict[str, Any]:
    """Return the values with which a new message is inserted; its times are intervals from now on."""
    return {
        "id": message.id,
        "target_id": message.target_id,
        "caller_id": message.caller_id,
        "caller_label": message.caller_label,
        "identity": message.identity,
        "digest": message.digest,
        "method": message.method,
        "headers": strict_json.dump(dict(message.headers)).decode(),
        "body": message.body,
        "size": measure(message),
        "is_idempotent": message.is_idempotent,
        "is_logged": message.is_logged,
        "priority": message.priority,
        "reason": message.reason.value,
        "attempts": _dump_attempts(message.attempts),
        "caller_org_id": message.caller_org_id,
        "context_id": message.context_id,
        "caller_token_id": message.caller_token_id,
        "expires_in": message.expires_in,
        "not_before_in": message.not_before_in,
    }


def row_from_change(change: Change) -> dict[str, Any]:
    """Return the values that a change writes, and those by which it recognises the message as it was before."""
    before, after = change.before, change.after
    return {
        "id": after.id,
        "known_state": before.state.value,
        "known_generation": before.lease_generation,
        "keeps_body": after.state in HELD_STATES,
        **{name: _to_column(getattr(after, name)) for name in CHANGED_COLUMNS},
        "attempts": _dump_attempts(after.attempts),
        "answer_headers": strict_json.dump(dict(after.answer_headers)).decode(),
    }


def message_from_row(row: sa.Row[Any]) -> QueuedMessage:
    """Return the message in a row."""
    values = dict(row._mapping)  # noqa: SLF001 - the name is public in spite of its underscore
    return QueuedMessage(
        **values
        | {
            "headers": strict_json.parse(values["headers"].encode()),
            "state": MessageState(values["state"]),
            "result": Result(values["result"]) if values["result"] else None,
            "reason": WaitReason(values["reason"]),
            "lease_kind": LeaseKind(values["lease_kind"]) if values["lease_kind"] else None,
            "answer_headers": strict_json.parse((values["answer_headers"] or "{}").encode()),
            "attempts": _parse_attempts(values["attempts"]),
        }
    )


def _to_column(value: object) -> object:
    return value.value if isinstance(value, MessageState | Result | WaitReason | LeaseKind) else value


def _dump_attempts(attempts: Sequence[Attempt]) -> str:
    rows = [
        {"at": attempt.at.isoformat(), "generation": attempt.generation, "outcome": attempt.outcome}
        | ({"error": attempt.error} if attempt.error else {})
        for attempt in attempts
    ]
    return strict_json.dump(rows).decode()


def _parse_attempts(text: str) -> tuple[Attempt, ...]:
    if text == "[]":
        return ()
    return tuple(
        Attempt(
            at=datetime.fromisoformat(row["at"]),
            generation=row["generation"],
            outcome=row["outcome"],
            error=row.get("error", ""),
        )
        for row in strict_json.parse(text.encode())
    )
