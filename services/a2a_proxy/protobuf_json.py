"""Renders protobuf messages of others as JSON, within the limits of `strict_json`."""

from typing import Any

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message

from services.chassis.strict_json import MAX_JSON_VALUES, drop_zero_fraction


class NoJsonForm(ValueError):
    """The message has no form in JSON, or too many values; the text names no content of it."""


def render_message(message: Message) -> dict[str, Any]:
    """Return a message as JSON; raises `NoJsonForm`.

    Whole numbers have no fraction: `Struct` has one kind of number, JSON texts have two. Values are counted before
    they are converted, because the conversion takes long.
    """
    _count_values(message, MAX_JSON_VALUES)
    try:
        rendered: dict[str, Any] = _write_whole_numbers(MessageToDict(message))
    except SerializeToJsonError:
        raise NoJsonForm("a value has no form in JSON") from None
    return rendered


def _count_values(message: Message, left: int) -> int:
    """Return how many of the values that a message may have are left; raises `NoJsonForm` below zero."""
    for field, value in message.ListFields():
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        items = list(value.values()) if is_map else value if field.is_repeated else (value,)
        left -= len(items)
        if left < 0:
            raise NoJsonForm(f"more than {MAX_JSON_VALUES} values")
        for item in items:
            if isinstance(item, Message):
                left = _count_values(item, left)
    return left


def _write_whole_numbers(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    if isinstance(value, float):
        return drop_zero_fraction(value)
    if isinstance(value, list):
        return [_write_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _write_whole_numbers(item) for name, item in value.items()}
    return value
