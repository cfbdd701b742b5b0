"""Answers a message that the plane has accepted for later, which has no form in the binding, with a task."""

from molecule_a2a.errors import UNSUPPORTED_OPERATION, ConversionFailed
from molecule_a2a.members import get_text
from molecule_a2a.model import JsonObject, Operation
from molecule_a2a.params import MESSAGE_OPERATIONS

STATES = {
    "queued": "TASK_STATE_SUBMITTED",
    "dispatching": "TASK_STATE_WORKING",
    "completed": "TASK_STATE_COMPLETED",
    "dropped": "TASK_STATE_CANCELED",
}
"""The states of accepted messages. One that has ended otherwise has failed."""


def is_receipt(answer: JsonObject) -> bool:
    """Whether an answer to a JSON-RPC request is a receipt of the plane, which is no JSON-RPC response."""
    return "jsonrpc" not in answer and bool(get_text(answer, "queue_id"))


def build_submitted_task(receipt: JsonObject, operation: Operation, context_id: str) -> JsonObject:
    """Return the result of 1.0 for a receipt: a task whose id is that of the accepted message.

    `context_id` is that of the message, or empty. Raises `ConversionFailed` for an operation without a message:
    its receipt stands for no task.
    """
    if operation not in MESSAGE_OPERATIONS:
        raise ConversionFailed(UNSUPPORTED_OPERATION, "the agent fetches its messages, and answers messages only")
    state = STATES.get(get_text(receipt, "status") or "queued", "TASK_STATE_FAILED")
    task: JsonObject = {"id": receipt["queue_id"], "status": {"state": state}}
    return {"task": task | ({"contextId": context_id} if context_id else {})}
