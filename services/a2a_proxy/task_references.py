"""Reads what a request says about tasks: which ones it is about, and where their push notifications go."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from molecule_a2a.methods import find_method
from molecule_a2a.model import Dialect, Operation
from services.a2a_proxy.json_values import get_list, get_object
from services.a2a_proxy.model import NO_REFERENCES, JsonObject, TaskReferences

MAX_ID_LENGTH = 1000
"""Characters of the longest id of a task or a context."""

MAX_TASKS = 50
"""Tasks that one request may name."""

MAX_WEBHOOKS = 4
"""Push notification addresses that one request may name."""

TASK_METHOD_PREFIX = "tasks/"
"""The beginning of the methods about tasks before 1.0, also of those that A2A no longer has."""

MESSAGE_OPERATIONS = frozenset({Operation.SEND_MESSAGE, Operation.SEND_STREAMING_MESSAGE})

PUSH_OPERATIONS = frozenset(
    {
        Operation.CREATE_PUSH_CONFIG,
        Operation.GET_PUSH_CONFIG,
        Operation.LIST_PUSH_CONFIGS,
        Operation.DELETE_PUSH_CONFIG,
    }
)
"""The operations on the push notification configs of a task."""

INVALID_ID = f"invalid params: the id of a task must be a text of at most {MAX_ID_LENGTH} characters"
INVALID_CONTEXT = f"invalid params: the contextId must be one text of at most {MAX_ID_LENGTH} characters"
TOO_MANY = f"invalid params: at most {MAX_TASKS} tasks and {MAX_WEBHOOKS} push notification addresses"


def read_references(method: str, params: JsonObject) -> TaskReferences:
    """Return what a request says about tasks. Members count in every spelling that parsers of agents accept."""
    known = find_method(method)
    operation = None if known is None else known.operation
    if operation in MESSAGE_OPERATIONS:
        return _read_message(params)
    if operation is None and not method.startswith(TASK_METHOD_PREFIX):
        return NO_REFERENCES
    if operation in {Operation.LIST_TASKS, Operation.GET_EXTENDED_CARD}:
        return NO_REFERENCES
    names = ["taskId", "task_id"]
    if known is None or known.dialect is Dialect.LEGACY or operation not in PUSH_OPERATIONS:
        names.append("id")  # of a push notification config it is the id of the config in 1.0
    webhooks = list(_find_urls(params)) if operation in {None, Operation.CREATE_PUSH_CONFIG} else []
    return _build([params.get(name) for name in names], [], webhooks)


def _read_message(params: JsonObject) -> TaskReferences:
    message, configuration = get_object(params, "message"), get_object(params, "configuration")
    if not configuration and _REFERENCE_NAMES.isdisjoint(message):  # most messages; this path has to be fast
        return NO_REFERENCES
    configs = [configuration[name] for name in CONFIG_NAMES if isinstance(configuration.get(name), dict)]
    continued = [message.get(name) for name in ("taskId", "task_id")]
    ids = [*continued]
    ids += [config.get(name) for config in configs for name in ("taskId", "task_id")]
    for name in ("referenceTaskIds", "reference_task_ids"):
        ids += get_list(message, name)
    context_ids = [message.get(name) for name in ("contextId", "context_id")]
    webhooks = [url for config in configs for url in _find_urls(config)]
    references = _build(ids, context_ids, webhooks)
    named = next((id_ for id_ in continued if isinstance(id_, str) and id_), None)
    return references if named is None or references.fault else replace(references, continued_id=named)


def _build(ids: list[Any], context_ids: list[Any], webhooks: list[str]) -> TaskReferences:
    """Return the references; an empty id is none, as in ProtoJSON."""
    named = [id_ for id_ in ids if id_ is not None and id_ != ""]
    contexts = [id_ for id_ in context_ids if id_ is not None and id_ != ""]
    if not named and not webhooks and not contexts:
        return NO_REFERENCES
    if not all(_is_id(id_) for id_ in named):
        return TaskReferences(fault=INVALID_ID)
    if not all(_is_id(id_) for id_ in contexts) or len(set(contexts)) > 1:
        return TaskReferences(fault=INVALID_CONTEXT)
    unique = tuple(dict.fromkeys(named))
    if len(unique) > MAX_TASKS or len(webhooks) > MAX_WEBHOOKS:
        return TaskReferences(fault=TOO_MANY)
    return TaskReferences(
        task_ids=unique,
        context_id=contexts[0] if contexts else None,
        webhooks=tuple(dict.fromkeys(webhooks)),
    )


def _is_id(value: object) -> bool:
    """Whether a value can be stored as an id."""
    return isinstance(value, str) and len(value) <= MAX_ID_LENGTH and "\0" not in value


def _find_urls(config: JsonObject) -> Iterator[str]:
    """Yield the addresses of a push notification config, which may be nested in one with the id of its task."""
    url = config.get("url")
    if isinstance(url, str) and url:
        yield url
    for name in NESTED_NAMES:
        nested = config.get(name)
        if isinstance(nested, dict):
            yield from _find_urls(nested)


_REFERENCE_NAMES = frozenset({"taskId", "task_id", "referenceTaskIds", "reference_task_ids", "contextId", "context_id"})
"""The members of a message that name a task or a context."""

CONFIG_NAMES = (
    "pushNotificationConfig",
    "push_notification_config",
    "taskPushNotificationConfig",
    "task_push_notification_config",
    "pushNotification",
)
"""The members of a configuration that hold a push notification config."""

NESTED_NAMES = (*CONFIG_NAMES, "config")
