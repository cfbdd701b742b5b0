"""Builds messages for tests of the queue."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import LeaseKind, MessageState, NewMessage, QueuedMessage, QueueLimits, WaitReason

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

BODY = b'{"jsonrpc":"2.0","id":7,"method":"message/send","params":{"message":{"messageId":"m"}}}'

LIMITS = QueueLimits(max_per_target=1000, max_per_caller=1000, max_bytes_per_target=1_000_000_000)


def new_id() -> WorkspaceId:
    """Return the id of a workspace or message that does not exist yet."""
    return WorkspaceId(str(uuid4()))


def new_message(target: WorkspaceId, message_id: str | None = None, **fields: Any) -> NewMessage:
    """Return a message to be accepted; `message_id` is the sender's."""
    caller = fields.pop("caller_id", None)
    body = fields.pop("body", BODY)
    values: dict[str, Any] = {
        "id": str(uuid4()),
        "identity": None if message_id is None else rules.build_identity(target, caller, message_id),
        "digest": rules.build_digest(body),
        "method": "message/send",
        "headers": {"accept": "application/json"},
        "reason": WaitReason.BUSY,
    }
    return NewMessage(target_id=target, caller_id=caller, body=body, **values | fields)


def leased_message(**fields: Any) -> QueuedMessage:
    """Return a message that is being dispatched, unless the fields say otherwise."""
    values: dict[str, Any] = {
        "id": str(uuid4()),
        "seq": 1,
        "target_id": new_id(),
        "caller_id": None,
        "caller_label": None,
        "digest": b"d",
        "method": "message/send",
        "body": BODY,
        "size": len(BODY),
        "is_idempotent": False,
        "is_logged": True,
        "priority": 0,
        "state": MessageState.DISPATCHING,
        "result": None,
        "reason": WaitReason.BUSY,
        "failures": 0,
        "busy_answers": 0,
        "not_before": NOON,
        "accepted_at": NOON,
        "dispatched_at": NOON,
        "ended_at": None,
        "expires_at": None,
        "lease_kind": LeaseKind.DISPATCH,
        "lease_owner": "a proxy",
        "lease_generation": 1,
        "lease_expires_at": NOON + timedelta(seconds=30),
        "last_error": None,
        "answer_status": None,
        "answer_body": None,
    }
    return QueuedMessage(**values | fields)
