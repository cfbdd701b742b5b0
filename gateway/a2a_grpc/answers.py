"""Converts the JSON of answers and errors into messages and statuses of gRPC. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import EncodeError
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from gateway.a2a_grpc.methods import RpcMethod
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.members import get_text
from molecule_a2a.rest.statuses import get_canonical_code

MAX_TEXT_BYTES = 1000
MAX_DETAILS_BYTES = 3000
"""Sizes of the text and the details of an error: clients accept 8 KiB of metadata, in which both are encoded."""

DETAIL_TYPES = {f"type.googleapis.com/{one.DESCRIPTOR.full_name}": one for one in (ErrorInfo, Struct, Value)}
"""The types of details that are sent as they are; any other one is sent as a `Value`."""


def build_answer(body: Any, method: RpcMethod) -> bytes:  # noqa: ANN401 - JSON is anything
    """Return the serialised answer for a body of the HTTP+JSON binding; raises `ConversionFailed`.

    Members that the message does not have are left out.
    """
    if not method.has_answer:
        return b""
    try:
        message: bytes = ParseDict(body, method.answer(), ignore_unknown_fields=True).SerializeToString()
    except _NO_MESSAGE:
        text = "the agent's answer does not have the form of A2A 1.0"
        raise ConversionFailed(INVALID_AGENT_RESPONSE, text) from None
    return message


_NO_MESSAGE = (ParseError, EncodeError, ValueError, TypeError, AttributeError, RecursionError)
"""What the conversion of JSON raises if it has not the form of the message."""


def build_status(body: object, http: int) -> Status:
    """Return the status for the body of an error, which came with an HTTP status."""
    outer = body if isinstance(body, dict) else {}
    error = outer.get("error")
    if not isinstance(error, dict):
        error = {"message": get_text(outer, "error")}
    name = get_text(error, "status")
    code = _CODES.get(name) or _CODES.get(get_canonical_code(http), StatusCode.UNKNOWN)
    details = error.get("details")
    return Status(
        code=code.value[0],
        message=_cut(get_text(error, "message")),
        details=list(_list_details(details if isinstance(details, list) else ())),
    )


def get_code(status: Status) -> StatusCode:
    """Return the code of a status."""
    return _CODES_BY_NUMBER[status.code]


_CODES = {code.name: code for code in StatusCode if code is not StatusCode.OK}
_CODES_BY_NUMBER = {code.value[0]: code for code in StatusCode}


def _list_details(details: Iterable[object]) -> Iterator[AnyMessage]:
    """Yield the details that there is room for."""
    left = MAX_DETAILS_BYTES
    for detail in details:
        packed = _pack(detail)
        size = 0 if packed is None else packed.ByteSize()
        if packed is not None and size <= left:
            left -= size
            yield packed


def _pack(detail: object) -> AnyMessage | None:
    """Return a detail; `None` for one that its type cannot hold."""
    if not isinstance(detail, dict):
        return None
    form: type[Any] = DETAIL_TYPES.get(get_text(detail, "@type"), Value)
    others = {name: value for name, value in detail.items() if name != "@type"}
    content: Any = (
        others if form is ErrorInfo else others.get("value") if form is not Value or len(others) == 1 else detail
    )
    try:
        message = ParseDict(content, form(), ignore_unknown_fields=True)
        packed = AnyMessage()
        packed.Pack(message)
    except _NO_MESSAGE:
        return None
    return packed


def _cut(text: str) -> str:
    """Return the beginning of a text that is too long."""
    return text.encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore")
