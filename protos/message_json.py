"""Renders protobuf messages of others as JSON, within limits.

The gateway reads callers of gRPC with it, and the A2A proxy agents of gRPC.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message


class NoJsonForm(ValueError):
    """The message has no form in JSON, or too many values; the text names no content of it."""


def render_message(message: Message, *, max_values: int, write_number: Callable[[float], float]) -> dict[str, Any]:
    """Return a message as JSON; raises `NoJsonForm`.

    `write_number` says how a number is written: `Struct` has one kind of number, JSON texts have two. Values are
    counted before they are converted, because the conversion takes long.
    """
    _count_values(message, max_values, max_values)
    try:
        rendered: dict[str, Any] = _write_numbers(MessageToDict(message), write_number)
    except SerializeToJsonError:
        raise NoJsonForm("a value has no form in JSON") from None
    return rendered


def _count_values(message: Message, left: int, max_values: int) -> int:
    """Return how many of the values that a message may have are left; raises `NoJsonForm` below zero."""
    for field, value in message.ListFields():
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        items = list(value.values()) if is_map else value if field.is_repeated else (value,)
        left -= len(items)
        if left < 0:
            raise NoJsonForm(f"more than {max_values} values")
        for item in items:
            if isinstance(item, Message):
                left = _count_values(item, left, max_values)
    return left


def _write_numbers(value: Any, write_number: Callable[[float], float]) -> Any:  # noqa: ANN401 - JSON is anything
    if isinstance(value, float):
        return write_number(value)
    if isinstance(value, list):
        return [_write_numbers(item, write_number) for item in value]
    if isinstance(value, dict):
        return {name: _write_numbers(item, write_number) for name, item in value.items()}
    return value
