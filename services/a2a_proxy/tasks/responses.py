"""Builds JSON-RPC responses in the dialect of the method that they answer."""

import msgspec

from molecule_a2a.dialects import read_dialect
from molecule_a2a.error_objects import build_error
from molecule_a2a.errors import (
    INVALID_AGENT_RESPONSE,
    INVALID_PARAMS,
    TASK_NOT_FOUND,
    UNSUPPORTED_OPERATION,
    ConversionFailed,
)
from molecule_a2a.model import Dialect
from services.a2a_proxy.errors import MalformedMessage
from services.a2a_proxy.model import Answer, Envelope, JsonObject
from services.chassis import strict_json

METHOD_NOT_FOUND = -32601
TASK_NOT_CANCELABLE = -32002
PUSH_NOTIFICATION_NOT_SUPPORTED = -32003

TEXTS = {
    METHOD_NOT_FOUND: "method not found",
    TASK_NOT_FOUND: "task not found",
    TASK_NOT_CANCELABLE: "the task cannot be cancelled any more",
    PUSH_NOTIFICATION_NOT_SUPPORTED: "push notifications are not supported for a message that waits for its agent",
    UNSUPPORTED_OPERATION: "the workspace fetches its messages and answers no other methods",
    INVALID_AGENT_RESPONSE: "the list of tasks of the agent cannot be read",
}
"""The texts of the errors that this part answers with."""

HEADERS = {"content-type": "application/json"}


def choose_dialect(envelope: Envelope) -> Dialect:
    """Return the dialect in which a caller reads answers: that of the version that it states, or of its method."""
    try:
        return read_dialect(header=envelope.version, query="", method=envelope.method)
    except ConversionFailed:  # the envelope is parsed, so its version is served
        return Dialect.LEGACY


def read_id(body: bytes) -> bytes:
    """Return the id of a request exactly as its caller wrote it."""
    return strict_json.find_member(body, "id") or b"null"


def build_response(request_id: bytes, name: str, value: object) -> JsonObject:
    """Return the response to a request with a result or an error; `request_id` is JSON."""
    return {"jsonrpc": "2.0", "id": msgspec.Raw(request_id), name: value}


def answer_result(envelope: Envelope, result: object) -> Answer:
    """Return the answer to a request with a result."""
    return _build_answer(envelope, "result", result)


def answer_error(envelope: Envelope, code: int, text: str = "") -> Answer:
    """Return the answer with an error, whose text is the usual one of TEXTS unless it is given."""
    error = build_error(ConversionFailed(code, text or TEXTS[code]), choose_dialect(envelope))
    return _build_answer(envelope, "error", error)


def build_fault(envelope: Envelope, text: str) -> MalformedMessage:
    """Return the error for a request whose params are refused."""
    failure = build_error(ConversionFailed(INVALID_PARAMS, text), choose_dialect(envelope))
    echoed = strict_json.parse(read_id(envelope.body))
    return MalformedMessage(
        text,
        details={
            "jsonrpc": "2.0",
            "id": echoed if isinstance(echoed, (str, int, float)) else None,
            "error": failure,
        },
    )


def _build_answer(envelope: Envelope, name: str, value: object) -> Answer:
    response = build_response(read_id(envelope.body), name, value)
    return Answer(status=200, headers=HEADERS, body=strict_json.dump(response))
