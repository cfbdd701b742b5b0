"""Reads and renders the bodies of requests in the proto JSON of 0.3, as params of JSON-RPC 0.3."""

import re

from molecule_a2a.errors import INVALID_PARAMS, ConversionFailed
from molecule_a2a.members import convert_member, fill_members, get_text, list_aliases, rename_members
from molecule_a2a.model import JsonObject, Operation
from molecule_a2a.params import MESSAGE_OPERATIONS
from molecule_a2a.rest.model import Target
from molecule_a2a.rest.proto_messages import read_message, render_message, select_members

NESTED = "pushNotificationConfig"


def read_params(target: Target, body: JsonObject, query: JsonObject) -> JsonObject:
    """Return the params of JSON-RPC 0.3 that a request of the REST binding of 0.3 stands for."""
    operation = target.operation
    if operation in MESSAGE_OPERATIONS:
        return _read_send_params(body)
    match operation:
        case Operation.CREATE_PUSH_CONFIG:
            return _read_push_params(target, body)
        case Operation.GET_EXTENDED_CARD:
            return {}
        case _:
            config_id = {"pushNotificationConfigId": target.config_id} if target.config_id else {}
            return {"id": target.task_id, **query, **config_id}


def render_send_params(params: JsonObject) -> JsonObject:
    """Return the proto request of the params of a message."""
    rendered = select_members(params, ("message", "configuration", "metadata"))
    convert_member(rendered, "message", render_message)
    convert_member(rendered, "configuration", _render_configuration)
    return rendered


def render_push_params(params: JsonObject) -> JsonObject:
    """Return the proto request for a push notification config of a task."""
    nested = params.get(NESTED)
    config = nested if isinstance(nested, dict) else {}
    task_id, config_id = get_text(params, "taskId"), get_text(config, "id")
    return {"parent": f"tasks/{task_id}", "configId": config_id, "config": render_task_config(params)}


def read_task_config(config: JsonObject) -> JsonObject:
    """Return the config with the id of its task, which the name of a proto config holds."""
    named = rename_members(config, _CONFIG_ALIASES)
    found = _CONFIG_NAME.fullmatch(get_text(named, "name"))
    rest = {name: value for name, value in named.items() if name != "name"}
    if found is None:
        return rest
    read = {"taskId": found["task"], **rest}
    if found["config"] and isinstance(read.get(NESTED), dict) and not get_text(read[NESTED], "id"):
        read[NESTED] = {**read[NESTED], "id": found["config"]}
    return read


def render_task_config(config: JsonObject) -> JsonObject:
    """Return the proto config of a config with the id of its task."""
    nested = config.get(NESTED)
    config_id = get_text(nested, "id") if isinstance(nested, dict) else ""
    rendered: JsonObject = {"name": f"tasks/{get_text(config, 'taskId')}/pushNotificationConfigs/{config_id}"}
    if isinstance(nested, dict):
        rendered[NESTED] = _render_config(nested)
    return rendered


_CONFIG_NAME = re.compile(r"tasks/(?P<task>.+)/pushNotificationConfigs/(?P<config>.*)")

_REQUEST_ALIASES = {"request": "message"}
"""The name of a member in the proto file, whose name in JSON is another one."""

_CONFIGURATION_ALIASES = {
    **list_aliases("acceptedOutputModes", "historyLength"),
    "push_notification": NESTED,
    "pushNotification": NESTED,
}
_CREATION_ALIASES = list_aliases("configId", NESTED)
_CONFIG_ALIASES = list_aliases(NESTED)


def _read_send_params(body: JsonObject) -> JsonObject:
    read = {**rename_members(body, _REQUEST_ALIASES)}
    convert_member(read, "message", read_message)
    convert_member(read, "configuration", _read_configuration)
    return read


def _read_configuration(configuration: JsonObject) -> JsonObject:
    """Return the configuration. ProtoJSON leaves out `blocking` when it is false."""
    read = {**rename_members(configuration, _CONFIGURATION_ALIASES)}
    fill_members(read, ("blocking",), value=False)
    return read


def _render_configuration(configuration: JsonObject) -> JsonObject:
    rendered = select_members(
        rename_members(configuration, {NESTED: "pushNotification"}),
        ("acceptedOutputModes", "pushNotification", "historyLength", "blocking"),
    )
    convert_member(rendered, "pushNotification", _render_config)
    return rendered


def _render_config(config: JsonObject) -> JsonObject:
    rendered = select_members(config, ("id", "url", "token", "authentication"))
    convert_member(rendered, "authentication", _render_authentication)
    return rendered


def _render_authentication(authentication: JsonObject) -> JsonObject:
    return select_members(authentication, ("schemes", "credentials"))


def _read_push_params(target: Target, body: JsonObject) -> JsonObject:
    """Return the params for a config; raises `ConversionFailed`.

    The body is the whole proto request, as the SDKs send it, or its member `config`, as the proto file says, or the
    config itself.
    """
    request = rename_members(body, _CREATION_ALIASES)
    outer = request["config"] if isinstance(request.get("config"), dict) else request
    named = rename_members(outer, _CONFIG_ALIASES)
    nested = named[NESTED] if isinstance(named.get(NESTED), dict) else named
    if not get_text(nested, "url"):
        raise ConversionFailed(INVALID_PARAMS, "invalid params: the push notification config has no url")
    config = {name: value for name, value in nested.items() if name not in {"name", "configId", "parent"}}
    config_id = get_text(config, "id") or get_text(request, "configId")
    return {"taskId": target.task_id, NESTED: config | ({"id": config_id} if config_id else {})}
