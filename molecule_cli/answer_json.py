"""Parses the JSON of the plane and of its agents, strictly."""

from typing import Any

import msgspec


def parse_json(text: bytes | str) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the value of a JSON text; raises `ValueError` also for NaN, and for numbers beyond a double."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        message = "not valid JSON"
        raise ValueError(message) from None
