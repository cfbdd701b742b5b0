"""Reads the envelope of a message and makes the older dialects well-formed; any other body stays as it came."""

from json import JSONDecodeError, JSONDecoder, dumps
from typing import Any, NoReturn
from uuid import UUID

from services.a2a_proxy.errors import MalformedMessage
from services.a2a_proxy.model import Envelope, JsonObject

MESSAGES = frozenset({"message/send", "message/stream", "SendMessage", "SendStreamingMessage"})
"""The methods whose params hold a message."""

SPOKEN = frozenset({"0.2", "0.3", "1.0"})
"""The versions of A2A that are named without looking further."""

LONGEST_WAIT = 86_400
"""Seconds that a caller may say it will wait."""

INVALID_JSON = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
VERSION_NOT_SUPPORTED = -32009


def read(body: bytes, *, version: str, entropy: bytes) -> Envelope:
    """The envelope of a JSON-RPC request; raises `MalformedMessage`.

    A body that needs nothing goes out byte for byte. One that lacks its frame, its message id or its parts is
    completed; `entropy` are the 32 bytes that missing ids are made of. `version` is the A2A-Version header as it came.
    """
    request = _parsed(body)
    if version and version not in SPOKEN and not _spoken(version):
        text = f"A2A version {version[:20]!r} is not supported"
        raise _error(VERSION_NOT_SUPPORTED, text, request_id=request.get("id"), data=_UNSUPPORTED)
    method = request.get("method")
    method = method if isinstance(method, str) else ""
    completed = _completed(request, method, entropy) if method in MESSAGES else None
    return Envelope(
        method=method,
        version=_version(method, version),
        body=body if completed is None else dumps(completed, separators=(",", ":")).encode(),
    )


def patience(timeout: str) -> int | None:
    """The seconds of an X-Timeout header, `None` for an empty one; raises `MalformedMessage`."""
    if not timeout:
        return None
    if timeout.isascii() and timeout.isdigit() and len(timeout) <= len(str(LONGEST_WAIT)):
        seconds = int(timeout)
        if 1 <= seconds <= LONGEST_WAIT:
            return seconds
    text = f"X-Timeout must be an integer from 1 to {LONGEST_WAIT}"
    raise MalformedMessage(text, details={"error": text})


def _parsed(body: bytes) -> JsonObject:
    try:
        request = _DECODER.decode(body.decode())
    except (UnicodeDecodeError, JSONDecodeError, RecursionError):
        raise _error(INVALID_JSON, "invalid JSON") from None
    if not isinstance(request, dict):
        raise _error(INVALID_REQUEST, "invalid request: a single JSON object is required")
    return request


def _version(method: str, said: str) -> str:
    """The A2A-Version that goes out. The method's name says which it is; the header decides where the name does not."""
    if "/" in method:
        return "0.3" if said.startswith("1.") else said
    if method[:1].isupper():
        return said if said.startswith("1.") else "1.0"
    return said


def _completed(request: JsonObject, method: str, entropy: bytes) -> JsonObject | None:
    """The request with what it lacks; `None` if it lacks nothing."""
    framed = "jsonrpc" in request
    params = request.get("params")
    message = params.get("message", _ABSENT) if isinstance(params, dict) else _ABSENT
    fresh = message if message is _ABSENT else _completed_message(message, request, entropy[:16])
    if framed and fresh is message:
        return None
    if fresh is not message and isinstance(params, dict):
        params = params | {"message": fresh}
    if framed:
        return request | {"params": params}
    bare = {"jsonrpc": "2.0", "id": request.get("id", _uuid(entropy[16:])), "method": method}
    return bare if "params" not in request else bare | {"params": params}


def _completed_message(message: object, request: JsonObject, entropy: bytes) -> object:
    """The message with parts and an id; the very same object if it has both."""
    if not isinstance(message, dict):
        raise _no_parts(request)
    fresh = message if _has_parts(message) else _with_parts(message, request)
    return fresh if fresh.get("messageId") else fresh | {"messageId": _uuid(entropy)}


def _has_parts(message: JsonObject) -> bool:
    parts = message.get("parts")
    return isinstance(parts, list) and bool(parts)


def _with_parts(message: JsonObject, request: JsonObject) -> JsonObject:
    """The message of dialect 0.2, whose `content` becomes `parts`."""
    match message.get("content"):
        case str() as text:
            parts = [{"kind": "text", "text": text}]
        case list() as parts if parts:
            pass
        case _:
            raise _no_parts(request)
    return {name: value for name, value in message.items() if name != "content"} | {"parts": parts}


def _no_parts(request: JsonObject) -> MalformedMessage:
    return _error(INVALID_PARAMS, "invalid params: params.message.parts is required", request_id=request.get("id"))


def _error(code: int, text: str, *, request_id: object = None, data: object = None) -> MalformedMessage:
    """A refusal whose details are a JSON-RPC answer."""
    error: JsonObject = {"code": code, "message": text}
    if data is not None:
        error["data"] = data
    known = request_id if isinstance(request_id, (str, int, float)) else None
    return MalformedMessage(text, details={"jsonrpc": "2.0", "id": known, "error": error})


def _spoken(said: str) -> bool:
    """Whether a version is 0.x or 1.x, with or without a patch number."""
    numbers = said.split(".")
    if len(numbers) not in {2, 3} or len(said) > 20:  # noqa: PLR2004 - Major.Minor, and perhaps Patch
        return False
    return numbers[0] in {"0", "1"} and all(number.isascii() and number.isdigit() for number in numbers)


def _uuid(entropy: bytes) -> str:
    return str(UUID(bytes=entropy, version=4))


def _refuse_constant(name: str) -> NoReturn:
    raise JSONDecodeError("not JSON", name, 0)


_ABSENT: Any = object()

_DECODER = JSONDecoder(parse_constant=_refuse_constant)
"""Python reads NaN and Infinity, JSON does not."""

_UNSUPPORTED = [
    {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "VERSION_NOT_SUPPORTED",
        "domain": "a2a-protocol.org",
    }
]
