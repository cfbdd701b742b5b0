"""Converts the params of JSON-RPC requests, operation by operation."""

from molecule_a2a.errors import INVALID_PARAMS, ConversionFailed
from molecule_a2a.members import convert_member, list_aliases, rename_members
from molecule_a2a.messages import downgrade_message, has_parts, upgrade_message
from molecule_a2a.model import JsonObject, Operation
from molecule_a2a.push_configs import downgrade_config, downgrade_task_config, upgrade_config, upgrade_task_config

MESSAGE_OPERATIONS = frozenset({Operation.SEND_MESSAGE, Operation.SEND_STREAMING_MESSAGE})
"""The operations whose params hold a message."""


def upgrade_params(params: JsonObject, operation: Operation) -> JsonObject:
    """Return params of 1.0. A length of history of 0 is left out, because 0.3 means no limit by it."""
    match operation:
        case Operation.SEND_MESSAGE | Operation.SEND_STREAMING_MESSAGE:
            upgraded = params.copy()
            _check_message(params)
            convert_member(upgraded, "message", upgrade_message)
            convert_member(upgraded, "configuration", _upgrade_configuration)
            return upgraded
        case Operation.GET_TASK:
            return _drop_unlimited_history(_drop(params, "metadata"))
        case Operation.SUBSCRIBE_TO_TASK:
            return _drop(params, "metadata", "historyLength")
        case Operation.CREATE_PUSH_CONFIG:
            return _drop(upgrade_task_config(params), "metadata")
        case Operation.GET_PUSH_CONFIG | Operation.LIST_PUSH_CONFIGS | Operation.DELETE_PUSH_CONFIG:
            rest = _drop(params, "id", "pushNotificationConfigId", "metadata")
            return rest | _list_present(taskId=params.get("id"), id=params.get("pushNotificationConfigId"))
        case _:
            return params.copy()


def downgrade_params(params: JsonObject, operation: Operation) -> JsonObject:
    """Return params of 0.3, which has no tenants. Params spelled in snake_case are read, too."""
    renamed = _drop(rename_members(params, _PARAMS_ALIASES), "tenant")
    match operation:
        case Operation.SEND_MESSAGE | Operation.SEND_STREAMING_MESSAGE:
            _check_message(renamed)
            convert_member(renamed, "message", downgrade_message)
            if operation is Operation.SEND_MESSAGE and renamed.get("configuration") is None:
                renamed["configuration"] = {}
            convert_member(renamed, "configuration", _downgrade_configuration)
            return renamed
        case Operation.CREATE_PUSH_CONFIG:
            return downgrade_task_config(renamed)
        case Operation.GET_PUSH_CONFIG | Operation.LIST_PUSH_CONFIGS | Operation.DELETE_PUSH_CONFIG:
            rest = _drop(renamed, "taskId", "id", "pageSize", "pageToken")
            return rest | _list_present(id=renamed.get("taskId"), pushNotificationConfigId=renamed.get("id"))
        case _:
            return renamed


def asks_for_no_history(params: JsonObject) -> bool:
    """Whether params of 1.0 ask for a task without its history."""
    configuration = params.get("configuration")
    configured = configuration if isinstance(configuration, dict) else {}
    return any(
        _is_zero(rename_members(source, _PARAMS_ALIASES).get("historyLength")) for source in (params, configured)
    )


_PARAMS_ALIASES = list_aliases("historyLength", "taskId", "pageSize", "pageToken")
_CONFIGURATION_ALIASES = list_aliases(
    "acceptedOutputModes", "taskPushNotificationConfig", "historyLength", "returnImmediately"
)


def _check_message(params: JsonObject) -> None:
    """Raise `ConversionFailed` for a message without parts. Without a message, the agent judges the request."""
    if "message" not in params:
        return
    message = params["message"]
    if not isinstance(message, dict) or not has_parts(message):
        raise ConversionFailed(INVALID_PARAMS, "invalid params: params.message.parts is required")


def _upgrade_configuration(configuration: JsonObject) -> JsonObject:
    upgraded = _drop_unlimited_history(configuration)
    blocking = upgraded.pop("blocking", None)
    if blocking is False:
        upgraded["returnImmediately"] = True
    config = upgraded.pop("pushNotificationConfig", None)
    if isinstance(config, dict):
        upgraded["taskPushNotificationConfig"] = upgrade_config(config)
    return upgraded


def _downgrade_configuration(configuration: JsonObject) -> JsonObject:
    """Return a configuration of 0.3. It always says whether the caller waits, because the default is the agent's."""
    downgraded = {**rename_members(configuration, _CONFIGURATION_ALIASES)}
    downgraded["blocking"] = downgraded.pop("returnImmediately", None) is not True
    config = downgraded.pop("taskPushNotificationConfig", None)
    if isinstance(config, dict):
        downgraded["pushNotificationConfig"] = downgrade_config(config)
    return downgraded


def _drop(source: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in source.items() if name not in names}


def _drop_unlimited_history(source: JsonObject) -> JsonObject:
    return _drop(source, "historyLength") if _is_zero(source.get("historyLength")) else source.copy()


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0


def _list_present(**members: object) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}
