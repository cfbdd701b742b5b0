"""Puts addresses of the plane into the push notification configs of requests, and those of callers into answers."""

import re
from collections.abc import Callable, Iterator, Mapping

from molecule_a2a.methods import Method, find_method
from molecule_a2a.model import Dialect, Operation
from molecule_a2a.push_configs import NESTED, downgrade_config, upgrade_config
from services.a2a_proxy.json_values import get_list, get_object
from services.a2a_proxy.model import JsonObject
from services.a2a_proxy.push.model import CallerConfig, ConfigReference, RewrittenRequest
from services.a2a_proxy.task_references import (
    CONFIG_NAMES,
    MAX_ID_LENGTH,
    MESSAGE_OPERATIONS,
    NESTED_NAMES,
    PUSH_OPERATIONS,
)

MESSAGE_HINT = b"otification"
"""What a message with a config holds in every spelling; the first letter differs between them."""

PATH = "/a2a/push/"

RELAYED_MEMBERS = ("url", "token", "authentication")
"""The members of a config that the plane keeps in place of the agent."""

Replace = Callable[[JsonObject], JsonObject]


def concerns(method: str, body: bytes, *, has_webhooks: bool | None = None) -> bool:
    """Whether a request may be about push notification configs.

    For a message of which nobody has said whether it names addresses, that is one substring test.
    """
    known = find_method(method)
    if known is None:
        return False
    if known.operation in MESSAGE_OPERATIONS:
        return MESSAGE_HINT in body if has_webhooks is None else has_webhooks
    return known.operation in PUSH_OPERATIONS


def build_address(base: str, secret: str) -> str:
    """Return the address of the plane to which the agent sends notifications."""
    return base.rstrip("/") + PATH + secret


def rewrite_request(request: JsonObject, operation: Operation, addresses: Iterator[str]) -> RewrittenRequest:
    """Return a request whose configs lead to the next of the addresses, and what its caller wrote, in their order."""
    configs: list[CallerConfig] = []

    def replace(config: JsonObject) -> JsonObject:
        kept = {name: config[name] for name in RELAYED_MEMBERS if config.get(name) is not None}
        configs.append(CallerConfig(kept, _read_id(config.get("id"))))
        rest = {name: value for name, value in config.items() if name not in RELAYED_MEMBERS}
        return {**rest, "url": next(addresses)}

    params = get_object(request, "params")
    if operation in MESSAGE_OPERATIONS:
        configuration = get_object(params, "configuration")
        named = {
            name: _walk(configuration[name], replace)
            for name in CONFIG_NAMES
            if isinstance(configuration.get(name), dict)
        }
        params = {**params, "configuration": {**configuration, **named}} if named else params
    elif operation is Operation.CREATE_PUSH_CONFIG:
        params = _walk(params, replace)
    return RewrittenRequest({**request, "params": params} if configs else request, tuple(configs))


def list_secrets(result: object) -> list[str]:
    """Return the secrets of the plane's addresses in the result of a request about configs."""
    found: list[str] = []

    def note(config: JsonObject) -> JsonObject:
        found.extend(_find_secrets(config))
        return config

    _walk_result(result, note)
    return list(dict.fromkeys(found))


def restore_result(result: object, known: Mapping[str, tuple[JsonObject, Dialect]], dialect: Dialect) -> object:
    """Return a result in which the known secrets' configs are those of their callers, in the form of a dialect.

    Configs with other secrets have no address, because anyone who knows a secret may send notifications.
    """

    def restore(config: JsonObject) -> JsonObject:
        for secret in _find_secrets(config):
            rest = {name: value for name, value in config.items() if name not in RELAYED_MEMBERS}
            return {**rest, **(convert_config(*known[secret], dialect) if secret in known else {"url": ""})}
        return config

    return _walk_result(result, restore)


def find_config_id(result: object) -> str | None:
    """Return the id of the config in a result, flat or beside the id of its task."""
    nested = get_object(result, NESTED)
    holder = nested or (result if isinstance(result, dict) else {})
    return _read_id(holder.get("id"))


def read_reference(request: JsonObject, method: Method) -> ConfigReference:
    """Return the task that a request is about, and the config that it deletes."""
    params = get_object(request, "params")
    if method.operation in MESSAGE_OPERATIONS:
        message = get_object(params, "message")
        return ConfigReference(_find_id(message, "taskId", "task_id"), None)
    if method.operation is Operation.CREATE_PUSH_CONFIG or method.dialect is Dialect.CURRENT:
        return ConfigReference(_find_id(params, "taskId", "task_id"), _read_id(params.get("id")))
    config_id = _find_id(params, "pushNotificationConfigId", "push_notification_config_id")
    return ConfigReference(_find_id(params, "id", "taskId", "task_id"), config_id)


def convert_config(config: JsonObject, written: Dialect, dialect: Dialect) -> JsonObject:
    """Return a config in the form of a dialect."""
    if written is dialect:
        return config
    return upgrade_config(config) if dialect is Dialect.CURRENT else downgrade_config(config)


def _find_id(holder: JsonObject, *names: str) -> str | None:
    return next((id_ for name in names if (id_ := _read_id(holder.get(name))) is not None), None)


def _read_id(value: object) -> str | None:
    """Return an id that can be stored; `None` for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and "\0" not in value else None


def _walk(config: JsonObject, replace: Replace) -> JsonObject:
    """Return a config in which it and each one that is nested in it are replaced, if they have an address."""
    url = config.get("url")
    replaced = replace(config) if isinstance(url, str) and url else config
    nested = {name: _walk(replaced[name], replace) for name in NESTED_NAMES if isinstance(replaced.get(name), dict)}
    return {**replaced, **nested} if nested else replaced


def _walk_result(result: object, replace: Replace) -> object:
    if isinstance(result, list):
        return [_walk(config, replace) if isinstance(config, dict) else config for config in result]
    if not isinstance(result, dict):
        return result
    walked = _walk(result, replace)
    if not isinstance(result.get("configs"), list):
        return walked
    return {**walked, "configs": _walk_result(get_list(result, "configs"), replace)}


def _find_secrets(config: JsonObject) -> Iterator[str]:
    url = config.get("url")
    if isinstance(url, str) and (found := _ADDRESS.search(url)) is not None:
        yield found[1]


_ADDRESS = re.compile(re.escape(PATH) + r"([A-Za-z0-9_-]{43})$")
