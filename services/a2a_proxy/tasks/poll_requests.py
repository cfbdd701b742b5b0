"""Judges requests to an agent that fetches its messages: for their callers, the plane is the server of A2A.

An agent that is dialled judges its requests itself. One that fetches them could only answer after the plane has.
"""

from dataclasses import dataclass

from molecule_a2a.errors import INVALID_PARAMS, INVALID_REQUEST, UNSUPPORTED_OPERATION
from molecule_a2a.methods import find_method
from molecule_a2a.model import Operation
from services.a2a_proxy.json_values import get_object
from services.a2a_proxy.jsonrpc_frame import find_frame_fault
from services.a2a_proxy.model import Envelope, JsonObject
from services.a2a_proxy.task_references import MESSAGE_OPERATIONS, PUSH_OPERATIONS
from services.a2a_proxy.tasks.responses import METHOD_NOT_FOUND, PUSH_NOTIFICATION_NOT_SUPPORTED
from services.chassis import strict_json

NEGATIVE_HISTORY = "invalid params: historyLength must not be negative"


@dataclass(frozen=True, slots=True)
class RequestFault:
    """The error that answers a request; the usual text of its code if `text` is empty."""

    code: int
    text: str = ""


def find_fault(envelope: Envelope) -> RequestFault | None:
    """Return what is wrong with a JSON-RPC request, or that its method is not served; `None` for a right one."""
    request = strict_json.parse(envelope.body)
    fault = find_frame_fault(request)
    if fault:
        return RequestFault(INVALID_REQUEST, fault)
    known = find_method(envelope.method)
    if known is None:
        return RequestFault(METHOD_NOT_FOUND)
    if known.operation is Operation.GET_EXTENDED_CARD:
        return RequestFault(UNSUPPORTED_OPERATION)
    if known.operation in PUSH_OPERATIONS:
        return RequestFault(PUSH_NOTIFICATION_NOT_SUPPORTED)
    params = get_object(request, "params")
    if known.operation in MESSAGE_OPERATIONS:
        return _find_fault_of_message(params)
    return _judge_history_length(params)


def _find_fault_of_message(params: JsonObject) -> RequestFault | None:
    message = params.get("message")
    if not isinstance(message, dict):
        return RequestFault(INVALID_PARAMS, "invalid params: params.message is required")
    parts = message.get("parts")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        return RequestFault(INVALID_PARAMS, "invalid params: params.message.parts must be a list of parts")
    return _judge_history_length(get_object(params, "configuration"))


def _judge_history_length(members: JsonObject) -> RequestFault | None:
    length = members.get("historyLength", members.get("history_length"))
    if isinstance(length, int) and length < 0:
        return RequestFault(INVALID_PARAMS, NEGATIVE_HISTORY)
    return None
