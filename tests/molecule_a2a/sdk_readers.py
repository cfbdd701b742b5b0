"""Reads A2A objects with the official SDK, as clients and agents of both dialects do."""

from typing import Any

from a2a.compat.v0_3 import types as legacy_types
from a2a.types import a2a_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from pydantic import BaseModel


def read_current(type_: type[Message], value: dict[str, Any], *, is_strict: bool = True) -> Message:
    """Parse an object of 1.0; raises for a member that 1.0 does not have, unless the reader is lenient."""
    return ParseDict(value, type_(), ignore_unknown_fields=not is_strict)


def read_legacy(type_: type[BaseModel], value: Any) -> Any:
    """Parse an object of 0.3 and return what the reader has understood of it."""
    return dump_legacy(type_.model_validate(value))


def dump_legacy(model: BaseModel) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


__all__ = ["a2a_pb2", "dump_legacy", "legacy_types", "read_current", "read_legacy"]
