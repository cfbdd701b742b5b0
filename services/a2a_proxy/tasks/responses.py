"""Builds JSON-RPC responses in the dialect of the method that they answer."""

import msgspec

from molecule_a2a.error_objects import build_error
from molecule_a2a.errors import (
    INVALID_AGENT_RESPONSE,
    INVALID_PARAMS,
    TASK_NOT_FOUND,
    UNSUPPORTED_OPERATION,
    ConversionFailed,
)
from molecule_a2a.methods import find_method
from molecule_a2a.model import Dialect
from services.a2a_proxy.errors import MalformedMessage
from services.a2a_proxy.model import Answer, JsonObject
from services.chassis import strict_json

TASK_NOT_CANCELABLE = -32002
PUSH_NOTIFICATION_NOT_SUPPORTED = -32003

TEXTS = {
    TASK_NOT_FOUND: "task not found",
    TASK_NOT_CANCELABLE: "the task cannot be cancelled any more",
    PUSH_NOTIFICATION_NOT_SUPPORTED: "push notifications are not supported for a message that waits for its agent",
    UNSUPPORTED_OPERATION: "the workspace fetches its messages and answers no other methods",
    INVALID_AGENT_RESPONSE: "the list of tasks of the agent cannot be read",
}
"""The texts of the errors that this part answers with."""

HEADERS = {"content-type": "application/json"}


def read_dialect(method: str) -> Dialect:
    """Return the dialect of a method; an unknown one counts by its form."""
    known = find_method(method)
    if known is not None:
        return known.dialect
    return Dialect.CURRENT if "/" not in method and method[:1].isupper() else Dialect.LEGACY


def build_response(body: bytes, name: str, value: object) -> JsonObject:
    """Return the response to a request with a result or an error, with the id exactly as its caller wrote it."""
    id_ = strict_json.find_member(body, "id") or b"null"
    return {"jsonrpc": "2.0", "id": msgspec.Raw(id_), name: value}


def answer_result(body: bytes, result: object) -> Answer:
    """Return the answer with a result."""
    return Answer(status=200, headers=HEADERS, body=strict_json.dump(build_response(body, "result", result)))


def answer_error(body: bytes, method: str, code: int, text: str = "") -> Answer:
    """Return the answer with an error, whose text is the usual one of TEXTS unless it is given."""
    error = build_error(ConversionFailed(code, text or TEXTS[code]), read_dialect(method))
    return Answer(status=200, headers=HEADERS, body=strict_json.dump(build_response(body, "error", error)))


def build_fault(body: bytes, method: str, text: str) -> MalformedMessage:
    """Return the error for a request whose params are refused."""
    failure = build_error(ConversionFailed(INVALID_PARAMS, text), read_dialect(method))
    id_ = strict_json.find_member(body, "id")
    echoed = None if id_ is None else strict_json.parse(id_)
    return MalformedMessage(
        text,
        details={
            "jsonrpc": "2.0",
            "id": echoed if isinstance(echoed, (str, int, float)) else None,
            "error": failure,
        },
    )
