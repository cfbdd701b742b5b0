"""The JSON-RPC methods of both dialects."""

from typing import NamedTuple

from molecule_a2a.model import Dialect, Operation


class Method(NamedTuple):
    """What a method does, and the dialect that gives it this name."""

    operation: Operation
    dialect: Dialect


LEGACY_NAMES = {
    Operation.SEND_MESSAGE: "message/send",
    Operation.SEND_STREAMING_MESSAGE: "message/stream",
    Operation.GET_TASK: "tasks/get",
    Operation.LIST_TASKS: "tasks/list",
    Operation.CANCEL_TASK: "tasks/cancel",
    Operation.SUBSCRIBE_TO_TASK: "tasks/resubscribe",
    Operation.CREATE_PUSH_CONFIG: "tasks/pushNotificationConfig/set",
    Operation.GET_PUSH_CONFIG: "tasks/pushNotificationConfig/get",
    Operation.LIST_PUSH_CONFIGS: "tasks/pushNotificationConfig/list",
    Operation.DELETE_PUSH_CONFIG: "tasks/pushNotificationConfig/delete",
    Operation.GET_EXTENDED_CARD: "agent/getAuthenticatedExtendedCard",
}
"""The names in 0.2 and 0.3. JSON-RPC of 0.3 does not have `tasks/list`, but some clients send it."""

STREAMING_OPERATIONS = frozenset({Operation.SEND_STREAMING_MESSAGE, Operation.SUBSCRIBE_TO_TASK})
"""The operations that are answered by a stream."""


def find_method(name: object) -> Method | None:
    """Return what a method does; `None` for one that A2A does not have."""
    return _METHODS.get(name) if isinstance(name, str) else None


def get_method_name(operation: Operation, dialect: Dialect) -> str:
    return LEGACY_NAMES[operation] if dialect is Dialect.LEGACY else operation.value


_METHODS = {name: Method(operation, Dialect.LEGACY) for operation, name in LEGACY_NAMES.items()} | {
    operation.value: Method(operation, Dialect.CURRENT) for operation in Operation
}
