"""Reads and renders the results of operations in the proto JSON of 0.3."""

from collections.abc import Callable
from functools import partial

from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.members import convert_object, convert_objects
from molecule_a2a.model import JsonObject, Operation
from molecule_a2a.rest.proto_events import read_event, read_task, render_event, render_task
from molecule_a2a.rest.proto_params import read_task_config, render_task_config
from molecule_a2a.security import upgrade_schemes


def read_result(result: object, operation: Operation) -> object:
    """Return the result of JSON-RPC 0.3 that a proto result stands for; raises `ConversionFailed`."""
    return _READERS[operation](result)


def render_result(result: object, operation: Operation) -> object:
    """Return the proto result of a result of JSON-RPC 0.3; raises `ConversionFailed`."""
    return _RENDERERS[operation](result)


def _read_event(result: object) -> JsonObject:
    return _check_event(read_event(result) if isinstance(result, dict) else None)


def _render_event(result: object) -> JsonObject:
    return _check_event(render_event(result) if isinstance(result, dict) else None)


def _check_event(event: JsonObject | None) -> JsonObject:
    if event is None:
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's answer is neither a task nor a message")
    return event


def _read_configs(result: object) -> object:
    """Return the list of the configs. ProtoJSON leaves out an empty one."""
    configs = result.get("configs") or [] if isinstance(result, dict) else result
    return convert_objects(configs, read_task_config)


def _render_configs(result: object) -> JsonObject:
    return {"configs": convert_objects(result, render_task_config)}


def _render_card(card: JsonObject) -> JsonObject:
    """Return the card with each security scheme in both forms: SDKs of 0.3 read either the JSON or the proto JSON."""
    schemes = card.get("securitySchemes")
    if not isinstance(schemes, dict):
        return card
    proto = upgrade_schemes(schemes)
    both = {name: {**proto[name], **scheme} for name, scheme in schemes.items() if isinstance(scheme, dict)}
    return {**card, "securitySchemes": {**schemes, **both}}


def _keep(result: object) -> object:
    return result


def _for_objects(convert: Callable[[JsonObject], JsonObject]) -> Callable[[object], object]:
    return partial(convert_object, convert=convert)


_READERS: dict[Operation, Callable[[object], object]] = {
    Operation.SEND_MESSAGE: _read_event,
    Operation.SEND_STREAMING_MESSAGE: _read_event,
    Operation.SUBSCRIBE_TO_TASK: _read_event,
    Operation.GET_TASK: _for_objects(read_task),
    Operation.LIST_TASKS: _keep,
    Operation.CANCEL_TASK: _for_objects(read_task),
    Operation.CREATE_PUSH_CONFIG: _for_objects(read_task_config),
    Operation.GET_PUSH_CONFIG: _for_objects(read_task_config),
    Operation.LIST_PUSH_CONFIGS: _read_configs,
    Operation.DELETE_PUSH_CONFIG: lambda _: None,
    Operation.GET_EXTENDED_CARD: _keep,
}

_RENDERERS: dict[Operation, Callable[[object], object]] = {
    Operation.SEND_MESSAGE: _render_event,
    Operation.SEND_STREAMING_MESSAGE: _render_event,
    Operation.SUBSCRIBE_TO_TASK: _render_event,
    Operation.GET_TASK: _for_objects(render_task),
    Operation.LIST_TASKS: _keep,
    Operation.CANCEL_TASK: _for_objects(render_task),
    Operation.CREATE_PUSH_CONFIG: _for_objects(render_task_config),
    Operation.GET_PUSH_CONFIG: _for_objects(render_task_config),
    Operation.LIST_PUSH_CONFIGS: _render_configs,
    Operation.DELETE_PUSH_CONFIG: lambda _: {},
    Operation.GET_EXTENDED_CARD: _for_objects(_render_card),
}
