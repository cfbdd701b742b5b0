"""Converts JSON-RPC requests for agents of the other dialect."""

from uuid import UUID

from molecule_a2a.errors import INVALID_PARAMS, INVALID_REQUEST, UNSUPPORTED_OPERATION, ConversionFailed
from molecule_a2a.methods import find_method, get_method_name
from molecule_a2a.model import AnswerConversion, ConvertedRequest, Dialect, JsonObject, Operation
from molecule_a2a.params import MESSAGE_OPERATIONS, asks_for_no_history, downgrade_params, upgrade_params


def convert_request(request: object, *, caller: Dialect, agent: Dialect, entropy: bytes) -> ConvertedRequest:
    """Return the request for an agent, and how its answer is converted; raises `ConversionFailed`.

    The name of the method says which form the request has, and `caller` in which form the caller reads the answer. A
    request that has the form of the agent stays as it is, and so does a method that A2A does not have. A message
    without an id gets a UUID made from the 16 bytes of `entropy`.
    """
    if not isinstance(request, dict):
        raise ConversionFailed(INVALID_REQUEST, "invalid request: a single JSON object is required")
    method = find_method(request.get("method"))
    if method is None:
        return ConvertedRequest(request, AnswerConversion(operation=None, caller=caller))
    if method.dialect is agent:
        return ConvertedRequest(request, AnswerConversion(operation=method.operation, caller=caller))
    if method.operation is Operation.LIST_TASKS:
        raise ConversionFailed(UNSUPPORTED_OPERATION, "tasks cannot be listed: A2A 0.3 has no method for it")
    convert = _upgrade_request if agent is Dialect.CURRENT else _downgrade_request
    return convert(request, _get_params(request), method.operation, caller, entropy)


def _upgrade_request(
    request: JsonObject, params: JsonObject, operation: Operation, caller: Dialect, entropy: bytes
) -> ConvertedRequest:
    takes_first = operation is Operation.GET_PUSH_CONFIG and params.get("pushNotificationConfigId") is None
    asked = Operation.LIST_PUSH_CONFIGS if takes_first else operation
    upgraded = _fill_message_id(upgrade_params(params, asked), operation, entropy)
    return ConvertedRequest(
        {**request, "method": get_method_name(asked, Dialect.CURRENT), "params": upgraded},
        AnswerConversion(operation=operation, caller=caller, takes_first_config=takes_first),
    )


def _downgrade_request(
    request: JsonObject, params: JsonObject, operation: Operation, caller: Dialect, entropy: bytes
) -> ConvertedRequest:
    downgraded = _fill_message_id(downgrade_params(params, operation), operation, entropy)
    converted = {**request, "method": get_method_name(operation, Dialect.LEGACY)}
    if downgraded or request.get("params") is not None:  # a request of 0.3 may be without
        converted["params"] = downgraded
    return ConvertedRequest(
        converted,
        AnswerConversion(operation=operation, caller=caller, drops_history=asks_for_no_history(params)),
    )


def _get_params(request: JsonObject) -> JsonObject:
    params = request.get("params")
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise ConversionFailed(INVALID_PARAMS, "invalid params: params must be a JSON object")
    return params


def _fill_message_id(params: JsonObject, operation: Operation, entropy: bytes) -> JsonObject:
    """Set the id of the message in params that are being built, if it has none."""
    message = params.get("message") if operation in MESSAGE_OPERATIONS else None
    if isinstance(message, dict) and not message.get("messageId"):
        message["messageId"] = str(UUID(bytes=entropy, version=4))
    return params
