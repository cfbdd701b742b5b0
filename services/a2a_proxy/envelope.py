"""Parses the envelope of a message and completes it; a complete body is forwarded unchanged."""

from uuid import UUID

from molecule_a2a.dialects import MAX_VERSION_LENGTH, find_dialect
from services.a2a_proxy.ambiguous_members import find_ambiguous_name, has_repeated_names
from services.a2a_proxy.errors import LoopDetected, MalformedMessage
from services.a2a_proxy.json_values import get_object
from services.a2a_proxy.model import Envelope, JsonObject, Preferences
from services.a2a_proxy.task_references import read_references
from services.chassis import strict_json

MESSAGE_METHODS = frozenset({"message/send", "message/stream", "SendMessage", "SendStreamingMessage"})
"""The methods whose params hold a message."""

STREAMING_METHODS = frozenset({"message/stream", "SendStreamingMessage", "tasks/resubscribe", "SubscribeToTask"})
"""The methods that are answered by a stream; it ends when its caller leaves."""

COMMON_VERSIONS = frozenset({"0.2", "0.3", "1.0"})
"""A2A versions that are accepted without being parsed."""

MAX_TIMEOUT_SECONDS = 86_400
"""Largest value of an X-Timeout header."""

MAX_HOPS = 8
"""Dispatches that one message may take, over all planes on its way."""

MAX_HOPS_DIGITS = 3
"""Digits of the longest X-Molecule-Hops header that is parsed."""

STORABLE_METHODS = frozenset({"message/send", "SendMessage"})
"""The methods whose messages may be queued: the sender waits for no stream."""

MAX_MESSAGE_ID_LENGTH = 1000
"""Characters of the longest message id by which a message is recognised; it is stored as a digest."""

MAX_SHOWN_NAME_LENGTH = 50
"""Characters of a member's name that an error shows."""

MAX_EXPIRY_SECONDS = 30 * 86_400
"""Longest time that a message may wait in the queue because its sender says so."""

MAX_PRIORITY = 10
"""Priorities of queued messages go from this number below zero to it."""

NO_PREFERENCES = Preferences(respond_async=False, strict=False)

INVALID_JSON = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
VERSION_NOT_SUPPORTED = -32009


def parse(body: bytes, *, version: str, entropy: bytes) -> Envelope:
    """Return the envelope of a JSON-RPC request; raises `MalformedMessage` for one that is not strict JSON.

    A complete body stays byte for byte, unless an object in it has two members with the same name: the agent receives
    the one that counts. Otherwise the JSON-RPC frame, the message id or the parts are added; missing ids are made from
    the 32 bytes of `entropy`. `version` is the A2A-Version header.
    """
    request = _parse_request(body)
    ambiguous = find_ambiguous_name(request)
    if ambiguous is not None:
        text = f"invalid request: the member {ambiguous[:MAX_SHOWN_NAME_LENGTH]!a} is spelled unlike A2A spells it"
        raise _build_error(INVALID_REQUEST, text, request_id=request.get("id"))
    if version and version not in COMMON_VERSIONS and find_dialect(version) is None:
        text = f"A2A version {version[:MAX_VERSION_LENGTH]!r} is not supported"
        raise _build_error(VERSION_NOT_SUPPORTED, text, request_id=request.get("id"), data=_VERSION_ERROR_DETAILS)
    method = request.get("method")
    method = method if isinstance(method, str) else ""
    is_message = method in MESSAGE_METHODS
    completed = _complete_request(request, method, entropy, is_message=is_message)
    if completed is None and has_repeated_names(body, request):
        completed = request
    if not is_message:
        return Envelope(
            method=method,
            version=version,
            body=body if completed is None else strict_json.dump(completed),
            is_json_rpc="jsonrpc" in request,
            references=read_references(method, get_object(request, "params")),
        )
    params = get_object(request if completed is None else completed, "params")
    return Envelope(
        method=method,
        version=version,
        body=body if completed is None else strict_json.dump(completed),
        message_id=_find_message_id(params),
        is_idempotent=_is_idempotent(params),
        expires_in_seconds=_find_expiry(params),
        priority=_find_priority(params),
        is_json_rpc="jsonrpc" in request,
        references=read_references(method, params),
    )


def parse_preferences(prefer: str) -> Preferences:
    """Return the preferences of a Prefer header (RFC 7240); unknown ones are ignored."""
    if not prefer:
        return NO_PREFERENCES
    names = {part.partition(";")[0].replace(" ", "").replace('"', "").lower() for part in prefer.split(",")}
    return Preferences(respond_async="respond-async" in names, strict="handling=strict" in names)


def parse_timeout(timeout: str) -> int | None:
    """Return the seconds of an X-Timeout header, `None` for an empty one; raises `MalformedMessage`."""
    if not timeout:
        return None
    if timeout.isascii() and timeout.isdigit() and len(timeout) <= len(str(MAX_TIMEOUT_SECONDS)):
        seconds = int(timeout)
        if 1 <= seconds <= MAX_TIMEOUT_SECONDS:
            return seconds
    text = f"X-Timeout must be an integer from 1 to {MAX_TIMEOUT_SECONDS}"
    raise MalformedMessage(text, details={"error": text})


def parse_hops(hops: str) -> int:
    """Return the dispatches that a message has taken, 0 for an empty X-Molecule-Hops header.

    Raises `MalformedMessage`, and `LoopDetected` for as many as a message may take.
    """
    if not hops:
        return 0
    if not (hops.isascii() and hops.isdigit() and len(hops) <= MAX_HOPS_DIGITS):
        text = f"X-Molecule-Hops must be an integer of at most {MAX_HOPS_DIGITS} digits"
        raise MalformedMessage(text, details={"error": text})
    if int(hops) >= MAX_HOPS:
        raise LoopDetected
    return int(hops)


def _parse_request(body: bytes) -> JsonObject:
    try:
        request = strict_json.parse(body)
    except strict_json.JsonLimitExceeded as error:
        raise _build_error(INVALID_JSON, f"invalid JSON: {error}") from None
    except strict_json.InvalidJson:
        raise _build_error(INVALID_JSON, "invalid JSON") from None
    if not isinstance(request, dict):
        raise _build_error(INVALID_REQUEST, "invalid request: a single JSON object is required")
    return request


def _find_message_id(params: JsonObject) -> str | None:
    """Return the id of the message; `None` without one that is a text of moderate length."""
    id_ = get_object(params, "message").get("messageId")
    return id_ if isinstance(id_, str) and 0 < len(id_) <= MAX_MESSAGE_ID_LENGTH else None


def _is_idempotent(params: JsonObject) -> bool:
    """Whether the sender declares that the agent may receive the message twice."""
    metadata = get_object(get_object(params, "message"), "metadata")
    return metadata.get("idempotent") is True or get_object(params, "configuration").get("idempotent") is True


def _find_expiry(params: JsonObject) -> int | None:
    """Return `expires_in_seconds`, a positive whole number; `None` for anything else."""
    seconds = params.get("expires_in_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds <= 0:
        return None
    return min(seconds, MAX_EXPIRY_SECONDS)


def _find_priority(params: JsonObject) -> int:
    """Return `priority`, a whole number within the limits; 0 for anything else."""
    priority = params.get("priority")
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        return 0
    return priority


def _complete_request(request: JsonObject, method: str, entropy: bytes, *, is_message: bool) -> JsonObject | None:
    """Return the request with its missing parts added, or `None` if it is complete."""
    has_frame = "jsonrpc" in request or not method
    params = request.get("params")
    message = params.get("message") if is_message and isinstance(params, dict) else None
    completed = _complete_message(message, request, entropy[:16]) if isinstance(message, dict) else message
    if has_frame and completed is message:
        return None
    if completed is not message and isinstance(params, dict):
        params = params | {"message": completed}
    if has_frame:
        return request | {"params": params}
    framed = {"jsonrpc": "2.0", "id": request.get("id", _make_uuid(entropy[16:])), "method": method}
    return framed if "params" not in request else framed | {"params": params}


def _complete_message(message: JsonObject, request: JsonObject, entropy: bytes) -> JsonObject:
    """Return the message with parts and an id; the same object if it has both. The agent judges the parts."""
    completed = message if _has_parts(message) else _convert_content(message, request)
    return completed if completed.get("messageId") else completed | {"messageId": _make_uuid(entropy)}


def _has_parts(message: JsonObject) -> bool:
    parts = message.get("parts")
    return isinstance(parts, list) and bool(parts)


def _convert_content(message: JsonObject, request: JsonObject) -> JsonObject:
    """Return a message whose `content`, which some clients of A2A 0.2 send, is its `parts`."""
    match message.get("content"):
        case str() as text:
            parts = [{"kind": "text", "text": text}]
        case list() as parts if parts:
            pass
        case _ if "parts" in message:
            return message
        case _:
            raise _build_missing_parts_error(request)
    return {name: value for name, value in message.items() if name != "content"} | {"parts": parts}


def _build_missing_parts_error(request: JsonObject) -> MalformedMessage:
    return _build_error(
        INVALID_PARAMS, "invalid params: params.message.parts is required", request_id=request.get("id")
    )


def _build_error(code: int, text: str, *, request_id: object = None, data: object = None) -> MalformedMessage:
    """Build an error whose details are a JSON-RPC error response."""
    error: JsonObject = {"code": code, "message": text}
    if data is not None:
        error["data"] = data
    echoed_id = request_id if isinstance(request_id, (str, int, float)) else None
    return MalformedMessage(text, details={"jsonrpc": "2.0", "id": echoed_id, "error": error})


def _make_uuid(entropy: bytes) -> str:
    return str(UUID(bytes=entropy, version=4))


_VERSION_ERROR_DETAILS = [
    {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "VERSION_NOT_SUPPORTED",
        "domain": "a2a-protocol.org",
    }
]
