"""Converts HTTP requests of the binding into JSON-RPC requests of 1.0."""

from molecule_a2a.dialects import read_dialect
from molecule_a2a.errors import INVALID_REQUEST, VERSION_NOT_SUPPORTED, ConversionFailed
from molecule_a2a.methods import get_method_name
from molecule_a2a.model import Dialect, JsonObject, Operation
from molecule_a2a.params import MESSAGE_OPERATIONS
from molecule_a2a.requests import convert_request
from molecule_a2a.rest.model import Target
from molecule_a2a.rest.proto_params import read_params
from molecule_a2a.rest.queries import read_query

BODY_OPERATIONS = MESSAGE_OPERATIONS | {Operation.CREATE_PUSH_CONFIG}
"""The operations whose request needs a body."""


TASK_OPERATIONS = frozenset({Operation.GET_TASK, Operation.CANCEL_TASK, Operation.SUBSCRIBE_TO_TASK})
"""The operations whose params name the task by `id`."""


def check_version(target: Target, *, header: str, query: str) -> None:
    """Raise `ConversionFailed` if the request states a version of A2A that its path does not have."""
    method = get_method_name(target.operation, target.dialect)
    if read_dialect(header=header, query=query, method=method) is not target.dialect:
        text = f"this path belongs to A2A {target.dialect}"
        raise ConversionFailed(VERSION_NOT_SUPPORTED, text)


def read_request(target: Target, *, query: str, body: object, request_id: str, entropy: bytes) -> JsonObject:
    """Return the JSON-RPC request of 1.0 for a request of the binding; raises `ConversionFailed`.

    `body` is parsed JSON, or `None` without a body. A message of 0.3 without an id gets a UUID made from the 16 bytes
    of `entropy`.
    """
    if body is None and target.operation not in BODY_OPERATIONS:
        body = {}
    if not isinstance(body, dict):
        raise ConversionFailed(INVALID_REQUEST, "invalid request: the body must be a JSON object")
    params = read_query(query, target.operation)
    envelope: JsonObject = {"jsonrpc": "2.0", "id": request_id}
    if target.dialect is Dialect.CURRENT:
        return {**envelope, "method": target.operation.value, "params": _build_params(target, body, params)}
    method = get_method_name(target.operation, Dialect.LEGACY)
    request = {**envelope, "method": method, "params": read_params(target, body, params)}
    return convert_request(request, caller=Dialect.LEGACY, agent=Dialect.CURRENT, entropy=entropy).request


def _build_params(target: Target, body: JsonObject, query: JsonObject) -> JsonObject:
    """Return params of 1.0: what the path says, and what body and query say besides."""
    params = {**query, **_select_members(target, body)}
    if target.tenant:
        params["tenant"] = target.tenant
    if target.operation in TASK_OPERATIONS:
        params["id"] = target.task_id
    elif target.task_id:
        params["taskId"] = target.task_id
    if target.config_id:
        params["id"] = target.config_id
    return params


def _select_members(target: Target, body: JsonObject) -> JsonObject:
    """Return the members of a body that the operation has; the path names its task."""
    if target.operation in BODY_OPERATIONS | {Operation.CANCEL_TASK}:
        return {name: value for name, value in body.items() if name != "task_id"}
    return {}
