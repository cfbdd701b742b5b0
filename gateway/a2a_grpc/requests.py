"""Converts requests of the service into JSON-RPC requests of 1.0. Pure."""

from typing import Any

from a2a.types import a2a_pb2
from google.protobuf.message import DecodeError, Message

from gateway.a2a_grpc.methods import RpcMethod
from gateway.a2a_grpc.targets import cut_target
from molecule_a2a.dialects import read_dialect
from molecule_a2a.errors import INVALID_REQUEST, VERSION_NOT_SUPPORTED, ConversionFailed
from molecule_a2a.model import Dialect, JsonObject
from protos.message_json import NoJsonForm, render_message
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
    try:
        params = render_message(parsed, max_values=MAX_JSON_VALUES, write_number=drop_zero_fraction)
    except NoJsonForm as error:
        raise ConversionFailed(INVALID_REQUEST, f"invalid request: {error}") from None
    params.pop("tenant", None)
    if params.get("pageSize") == 0:  # clients in Go send this for no size; agents refuse it
        del params["pageSize"]
    if tenant:
        params["tenant"] = tenant
    _cut_inner_tenant(params)
    return {"jsonrpc": "2.0", "id": request_id, "method": method.operation.value, "params": params}


def _parse(message: bytes, form: type[Message]) -> Message:
    try:
        return form.FromString(message)
    except DecodeError:
        raise ConversionFailed(INVALID_REQUEST, "invalid request: it is no message of this method") from None


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
