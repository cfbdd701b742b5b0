"""Reads and builds the query parameters of the operations. A parameter that an operation does not have is ignored."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlencode

from molecule_a2a.errors import INVALID_PARAMS, ConversionFailed
from molecule_a2a.members import list_aliases, rename_members
from molecule_a2a.model import JsonObject, Operation

MAX_PARAMETERS = 100
"""Parameters of the longest query that is read."""

Read = Callable[[str, str], object]


def read_query(query: str, operation: Operation) -> JsonObject:
    """Return the parameters of an operation as members of JSON-RPC params; raises `ConversionFailed`.

    Of parameters with the same name the last one counts, and an empty one is absent.
    """
    try:
        found = dict(parse_qsl(query, max_num_fields=MAX_PARAMETERS, errors="strict"))
    except ValueError:
        raise ConversionFailed(INVALID_PARAMS, "invalid params: the query string cannot be read") from None
    fields = _FIELDS.get(operation, {})
    named = rename_members(found, _ALIASES)
    return {name: read(name, named[name]) for name, read in fields.items() if name in named}


def build_query(params: JsonObject, operation: Operation) -> str:
    """Return the query string for the params of an operation."""
    named = rename_members(params, _ALIASES)
    present = {name: named[name] for name in _FIELDS.get(operation, {}) if named.get(name) is not None}
    return urlencode({name: _render(value) for name, value in present.items()})


def _read_text(name: str, text: str) -> str:
    if "\0" in text:
        raise ConversionFailed(INVALID_PARAMS, f"invalid params: {name} must not contain NUL")
    return text


def _read_integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ConversionFailed(INVALID_PARAMS, f"invalid params: {name} must be an integer")
    return int(text)


def _read_flag(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ConversionFailed(INVALID_PARAMS, f"invalid params: {name} must be true or false")
    return text.lower() == "true"


def _render(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_INTEGER = re.compile(r"-?[0-9]{1,10}", re.ASCII)

_FIELDS: Mapping[Operation, Mapping[str, Read]] = {
    Operation.GET_TASK: {"historyLength": _read_integer},
    Operation.LIST_TASKS: {
        "contextId": _read_text,
        "status": _read_text,
        "pageSize": _read_integer,
        "pageToken": _read_text,
        "historyLength": _read_integer,
        "statusTimestampAfter": _read_text,
        "includeArtifacts": _read_flag,
    },
    Operation.LIST_PUSH_CONFIGS: {"pageSize": _read_integer, "pageToken": _read_text},
}

_ALIASES = list_aliases(*{name for fields in _FIELDS.values() for name in fields})
