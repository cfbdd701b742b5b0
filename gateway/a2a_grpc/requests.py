"""Converts requests of the service into JSON-RPC requests of 1.0. Pure."""

from typing import Any

from a2a.types import a2a_pb2
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import DecodeError, Message

from gateway.a2a_grpc.methods import RpcMethod
from gateway.a2a_grpc.targets import cut_target
from molecule_a2a.dialects import read_dialect
from molecule_a2a.errors import INVALID_REQUEST, VERSION_NOT_SUPPORTED, ConversionFailed
from molecule_a2a.model import Dialect, JsonObject
from services.chassis.strict_json import MAX_JSON_VALUES, drop_zero_fraction

TENANT_READER = a2a_pb2.GetExtendedAgentCardRequest
"""A message with a tenant alone: reading it builds nothing of the rest of a request."""

PUSH_CONFIG = ("configuration", "taskPushNotificationConfig")
"""Where params of a message hold a further tenant."""


def find_tenant(message: bytes, method: RpcMethod) -> str:
    """Return the tenant of a serialised request; raises `ConversionFailed`."""
    number = method.request.DESCRIPTOR.fields_by_name["tenant"].number
    has_same_field = TENANT_READER.DESCRIPTOR.fields_by_name["tenant"].number == number
    found: Any = _parse(message, TENANT_READER if has_same_field else method.request)
    return str(found.tenant)


def read_request(message: bytes, *, method: RpcMethod, version: str, tenant: str, request_id: str) -> JsonObject:
    """Return the JSON-RPC request for a serialised request; raises `ConversionFailed`.

    `version` is the A2A version that the client states, or empty; `tenant` is that of the agent, or empty.
    """
    if read_dialect(header=version, query="", method=method.operation.value) is not Dialect.CURRENT:
        raise ConversionFailed(VERSION_NOT_SUPPORTED, f"this service belongs to A2A {Dialect.CURRENT}")
    parsed = _parse(message, method.request)
    _count_values(parsed, MAX_JSON_VALUES)
    try:
        params = _write_whole_numbers(MessageToDict(parsed))
    except SerializeToJsonError:
        raise ConversionFailed(INVALID_REQUEST, "invalid request: a value has no form in JSON") from None
    params.pop("tenant", None)
    if tenant:
        params["tenant"] = tenant
    _cut_inner_tenant(params)
    return {"jsonrpc": "2.0", "id": request_id, "method": method.operation.value, "params": params}


def _parse(message: bytes, form: type[Message]) -> Message:
    try:
        return form.FromString(message)
    except DecodeError:
        raise ConversionFailed(INVALID_REQUEST, "invalid request: it is no message of this method") from None


def _count_values(message: Message, left: int) -> int:
    """Return how many of the values that a message may have are left; raises `ConversionFailed` below zero."""
    for field, value in message.ListFields():
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        items = list(value.values()) if is_map else value if field.is_repeated else (value,)
        left -= len(items)
        if left < 0:
            raise ConversionFailed(INVALID_REQUEST, f"invalid request: more than {MAX_JSON_VALUES} values")
        for item in items:
            if isinstance(item, Message):
                left = _count_values(item, left)
    return left


def _write_whole_numbers(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a JSON value whose whole numbers have no fraction: `Struct` has one kind of number, JSON texts two."""
    if isinstance(value, float):
        return drop_zero_fraction(value)
    if isinstance(value, list):
        return [_write_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _write_whole_numbers(item) for name, item in value.items()}
    return value


def _cut_inner_tenant(params: JsonObject) -> None:
    """Take the workspace out of the tenant of a push config within a message."""
    holder: Any = params
    for name in PUSH_CONFIG:
        holder = holder.get(name, {})
    target = cut_target(holder.get("tenant", ""))
    if target is not None:
        holder["tenant"] = target.tenant
        if not target.tenant:
            del holder["tenant"]
