"""Builds the A2A requests that the plane itself sends."""

from services.a2a_proxy.model import JsonObject
from services.chassis import strict_json

SEND = "message/send"
"""The method of a message that is answered as a whole."""


def build_request(request_id: str, method: str, params: object) -> bytes:
    """Return a JSON-RPC request."""
    return strict_json.dump({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def build_text_request(message_id: str, text: str, metadata: JsonObject | None = None) -> bytes:
    """Return the request that sends a message with one text; the request has the id of the message."""
    message: JsonObject = {
        "kind": "message",
        "messageId": message_id,
        "role": "user",
        "parts": [{"kind": "text", "text": text}],
    }
    if metadata is not None:
        message["metadata"] = metadata
    return build_request(message_id, SEND, {"message": message})
