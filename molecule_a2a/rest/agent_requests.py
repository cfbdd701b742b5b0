"""Converts JSON-RPC requests into HTTP requests for agents that offer HTTP+JSON only."""

from dataclasses import replace

from molecule_a2a.errors import INVALID_PARAMS, ConversionFailed
from molecule_a2a.members import get_text, list_aliases, rename_members
from molecule_a2a.methods import find_method
from molecule_a2a.model import AnswerConversion, Dialect, JsonObject, Operation
from molecule_a2a.params import MESSAGE_OPERATIONS
from molecule_a2a.requests import convert_request
from molecule_a2a.rest.model import AgentRequest, Target
from molecule_a2a.rest.proto_params import render_push_params, render_send_params
from molecule_a2a.rest.queries import build_query
from molecule_a2a.rest.requests import TASK_OPERATIONS
from molecule_a2a.rest.routes import build_http_request
from molecule_a2a.rest.statuses import METHOD_NOT_FOUND

CONFIG_OPERATIONS = frozenset({Operation.GET_PUSH_CONFIG, Operation.DELETE_PUSH_CONFIG})

DOT_STEPS = frozenset({".", ".."})
"""Steps of a path that HTTP clients resolve, encoded or not."""


def build_agent_request(request: object, *, caller: Dialect, agent: Dialect, entropy: bytes) -> AgentRequest:
    """Return the HTTP request for an agent, and how its answer is converted; raises `ConversionFailed`.

    The name of the method says which form the request has, `caller` in which form the caller reads the answer, and
    `agent` which version of the binding the agent serves. A method that A2A does not have has no path.
    """
    converted = convert_request(request, caller=caller, agent=agent, entropy=entropy)
    method = find_method(converted.request.get("method"))
    if method is None or (agent is Dialect.LEGACY and method.operation is Operation.LIST_TASKS):
        raise ConversionFailed(METHOD_NOT_FOUND, "the agent's HTTP+JSON interface has no such method")
    params = converted.request.get("params")
    if params is not None and not isinstance(params, dict):
        raise ConversionFailed(INVALID_PARAMS, "invalid params: params must be a JSON object")
    target, answer = _build_target(method.operation, agent, rename_members(params or {}, _ALIASES), converted.answer)
    http = build_http_request(
        target,
        query=build_query(params or {}, target.operation),
        body=_build_body(params or {}, target),
    )
    return AgentRequest(http, converted.request.get("id"), target, answer)


_ALIASES = list_aliases("taskId", "pushNotificationConfigId")


def _build_target(
    operation: Operation, agent: Dialect, params: JsonObject, answer: AnswerConversion
) -> tuple[Target, AnswerConversion]:
    """Return what the agent is asked for. A config without an id is the first of all, which are listed."""
    names_task_by_id = operation in TASK_OPERATIONS or (agent is Dialect.LEGACY and operation in _LEGACY_ID_OPERATIONS)
    task_id = get_text(params, "id" if names_task_by_id else "taskId")
    config_id = get_text(params, "pushNotificationConfigId" if agent is Dialect.LEGACY else "id")
    if operation is Operation.GET_PUSH_CONFIG and agent is Dialect.LEGACY and not config_id:
        operation, answer = Operation.LIST_PUSH_CONFIGS, replace(answer, takes_first_config=True)
    if operation not in _OPERATIONS_WITHOUT_TASK and not task_id:
        raise ConversionFailed(INVALID_PARAMS, "invalid params: the id of the task is required")
    if operation in CONFIG_OPERATIONS and not config_id:
        raise ConversionFailed(INVALID_PARAMS, "invalid params: the id of the config is required")
    if not DOT_STEPS.isdisjoint((task_id, config_id, get_text(params, "tenant"))):
        raise ConversionFailed(INVALID_PARAMS, "invalid params: this id cannot be a step of a path")
    target = Target(
        operation=operation,
        dialect=agent,
        task_id="" if operation in _OPERATIONS_WITHOUT_TASK else task_id,
        config_id=config_id if operation in CONFIG_OPERATIONS else "",
        tenant=get_text(params, "tenant"),
    )
    return target, answer


_OPERATIONS_WITHOUT_TASK = MESSAGE_OPERATIONS | {Operation.LIST_TASKS, Operation.GET_EXTENDED_CARD}
_LEGACY_ID_OPERATIONS = CONFIG_OPERATIONS | {Operation.LIST_PUSH_CONFIGS}


def _build_body(params: JsonObject, target: Target) -> JsonObject | None:
    match target.operation:
        case Operation.SEND_MESSAGE | Operation.SEND_STREAMING_MESSAGE:
            return params if target.dialect is Dialect.CURRENT else render_send_params(params)
        case Operation.CREATE_PUSH_CONFIG:
            return params if target.dialect is Dialect.CURRENT else render_push_params(params)
        case Operation.CANCEL_TASK:
            return params if target.dialect is Dialect.CURRENT else {"name": f"tasks/{target.task_id}"}
        case _:
            return None
