"""Reads, renames and converts members of JSON objects."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from molecule_a2a.model import JsonObject

Convert = Callable[[JsonObject], object]


def list_aliases(*names: str) -> Mapping[str, str]:
    """Map the snake_case spelling of each name to the name. ProtoJSON parsers accept both, and some clients send it."""
    aliases = {re.sub(r"([A-Z])", r"_\1", name).lower(): name for name in names}
    return {alias: name for alias, name in aliases.items() if alias != name}


def rename_members(source: JsonObject, names: Mapping[str, str]) -> JsonObject:
    """Return the object with members renamed; itself if none is. A member keeps its name if the new one is taken."""
    if names.keys().isdisjoint(source):
        return source
    return {name if (new := names.get(name, name)) in source else new: value for name, value in source.items()}


def convert_object(value: object, convert: Convert) -> Any:  # noqa: ANN401 - JSON is anything
    """Convert an object; anything else stays as it is."""
    return convert(value) if isinstance(value, dict) else value


def convert_objects(value: object, convert: Convert) -> Any:  # noqa: ANN401 - JSON is anything
    """Convert the objects of a list; anything else stays as it is."""
    if not isinstance(value, list):
        return value
    return [convert(item) if isinstance(item, dict) else item for item in value]


def convert_member(target: JsonObject, name: str, convert: Convert) -> None:
    """Convert a member that is an object."""
    value = target.get(name)
    if isinstance(value, dict):
        target[name] = convert(value)


def convert_list_member(target: JsonObject, name: str, convert: Convert) -> None:
    """Convert the objects in a member that is a list."""
    value = target.get(name)
    if isinstance(value, list):
        target[name] = convert_objects(value, convert)


def fill_members(target: JsonObject, names: tuple[str, ...], value: object) -> None:
    """Set members that are absent or null. ProtoJSON leaves out empty values, and 0.3 demands some of them."""
    for name in names:
        if target.get(name) is None:
            target[name] = value


def get_text(source: JsonObject, name: str) -> str:
    """Return a member that is a text; empty for anything else."""
    value = source.get(name)
    return value if isinstance(value, str) else ""
