"""Converts the answers to converted JSON-RPC requests."""

from collections.abc import Callable
from functools import partial
from typing import Any

from molecule_a2a.cards import downgrade_card, upgrade_card
from molecule_a2a.error_objects import build_error, convert_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, TASK_NOT_FOUND, ConversionFailed
from molecule_a2a.events import downgrade_event, upgrade_event
from molecule_a2a.members import convert_object, convert_objects
from molecule_a2a.model import AnswerConversion, Dialect, JsonObject, Operation
from molecule_a2a.push_configs import downgrade_task_config, upgrade_task_config
from molecule_a2a.tasks import downgrade_task, upgrade_task


def convert_answer(answer: object, conversion: AnswerConversion) -> JsonObject:
    """Return a JSON-RPC response, with a result or an error, as its caller reads it; raises `ConversionFailed`."""
    if not isinstance(answer, dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's answer is not a JSON object")
    if conversion.operation is None:
        return answer
    if answer.get("error") is not None:
        return {**answer, "error": convert_error(answer["error"], conversion.caller)}
    if "result" not in answer and conversion.operation is not Operation.DELETE_PUSH_CONFIG:
        return answer
    result = answer.get("result")  # a deletion has none, which some servers leave out
    if conversion.takes_first_config:
        configs = _list_configs(result)
        if not configs:
            failure = ConversionFailed(TASK_NOT_FOUND, "the task has no push notification config")
            rest = {name: value for name, value in answer.items() if name != "result"}
            return {**rest, "error": build_error(failure, conversion.caller)}
        result = configs[0]
    return {**answer, "result": convert_result(result, conversion)}


def convert_result(result: object, conversion: AnswerConversion) -> object:
    """Return the result of an operation as its caller reads it; raises `ConversionFailed`."""
    if conversion.operation is None:
        return result
    if conversion.caller is Dialect.LEGACY:
        return _DOWNGRADES[conversion.operation](result)
    upgraded = _UPGRADES[conversion.operation](result)
    return drop_history(upgraded) if conversion.drops_history else upgraded


def drop_history(result: object) -> object:
    """Return a result or an event of 1.0 without the history of its task."""
    if not isinstance(result, dict):
        return result
    kept = {name: value for name, value in result.items() if name != "history"}
    if isinstance(kept.get("task"), dict):
        kept["task"] = drop_history(kept["task"])
    return kept


def _upgrade_reply(result: object) -> JsonObject:
    return _check_reply(upgrade_event(result))


def _downgrade_reply(result: object) -> JsonObject:
    return _check_reply(downgrade_event(result, operation=Operation.SEND_MESSAGE))


def _upgrade_tasks(result: JsonObject) -> JsonObject:
    return {**result, "tasks": convert_objects(result.get("tasks"), upgrade_task)}


def _downgrade_tasks(result: JsonObject) -> JsonObject:
    return {**result, "tasks": convert_objects(result.get("tasks"), downgrade_task)}


def _upgrade_configs(result: object) -> object:
    configs = _list_configs(result)
    if configs is None:
        return result
    upgraded = {"configs": convert_objects(configs, upgrade_task_config)}
    return {**result, **upgraded} if isinstance(result, dict) else upgraded


def _downgrade_configs(result: object) -> object:
    configs = _list_configs(result)
    return result if configs is None else convert_objects(configs, downgrade_task_config)


def _upgrade_deletion(result: object) -> object:
    return {} if result is None else result


def _downgrade_deletion(result: object) -> object:
    return None if result == {} else result


def _for_objects(convert: Callable[[JsonObject], JsonObject]) -> Callable[[object], object]:
    return partial(convert_object, convert=convert)


_UPGRADES: dict[Operation, Callable[[object], object]] = {
    Operation.SEND_MESSAGE: _upgrade_reply,
    Operation.SEND_STREAMING_MESSAGE: _upgrade_reply,
    Operation.SUBSCRIBE_TO_TASK: _upgrade_reply,
    Operation.GET_TASK: _for_objects(upgrade_task),
    Operation.LIST_TASKS: _for_objects(_upgrade_tasks),
    Operation.CANCEL_TASK: _for_objects(upgrade_task),
    Operation.CREATE_PUSH_CONFIG: _for_objects(upgrade_task_config),
    Operation.GET_PUSH_CONFIG: _for_objects(upgrade_task_config),
    Operation.LIST_PUSH_CONFIGS: _upgrade_configs,
    Operation.DELETE_PUSH_CONFIG: _upgrade_deletion,
    Operation.GET_EXTENDED_CARD: upgrade_card,
}

_DOWNGRADES: dict[Operation, Callable[[object], object]] = {
    Operation.SEND_MESSAGE: _downgrade_reply,
    Operation.SEND_STREAMING_MESSAGE: _downgrade_reply,
    Operation.SUBSCRIBE_TO_TASK: _downgrade_reply,
    Operation.GET_TASK: _for_objects(downgrade_task),
    Operation.LIST_TASKS: _for_objects(_downgrade_tasks),
    Operation.CANCEL_TASK: _for_objects(downgrade_task),
    Operation.CREATE_PUSH_CONFIG: _for_objects(downgrade_task_config),
    Operation.GET_PUSH_CONFIG: _for_objects(downgrade_task_config),
    Operation.LIST_PUSH_CONFIGS: _downgrade_configs,
    Operation.DELETE_PUSH_CONFIG: _downgrade_deletion,
    Operation.GET_EXTENDED_CARD: downgrade_card,
}


def _check_reply(event: JsonObject | None) -> JsonObject:
    """Return the task or the message that answers a message; raises `ConversionFailed` for anything else."""
    if event is None or event.get("kind") in _UPDATE_KINDS or not _UPDATE_MEMBERS.isdisjoint(event):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's answer is neither a task nor a message")
    return event


_UPDATE_KINDS = ("status-update", "artifact-update")
_UPDATE_MEMBERS = frozenset({"statusUpdate", "artifactUpdate"})


def _list_configs(result: object) -> list[Any] | None:
    """Return the configs of a result of either dialect; `None` for a result of another type.

    ProtoJSON leaves out an empty list.
    """
    configs = result.get("configs") or [] if isinstance(result, dict) else result
    return configs if isinstance(configs, list) else None
