"""JSON and timestamps in the form of the public contract."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from services.chassis import strict_json

MAX_REPAIRED_BYTES = 256 * 1024
"""Size of the largest stored text that is repaired; repairing is slow."""


def encode_json(value: object) -> bytes:
    """Return compact JSON in UTF-8; raises `ValueError` for a value that it cannot represent."""
    return strict_json.dump(value)


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(strict_json.dump(content), status, headers, media_type="application/json")


def embed_stored(text: bytes) -> msgspec.Raw:
    """Return a stored JSON text for an answer that embeds it, unchanged if it is strict JSON."""
    return msgspec.Raw(_repair(text))


def parse_stored(text: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the value of a stored JSON text, as `embed_stored` would show it."""
    return strict_json.parse(_repair(text))


def format_timestamp(stamp: Timestamp) -> str:
    """Return a timestamp in RFC 3339, in UTC with microseconds."""
    when = datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_seconds(stamp: Timestamp) -> float:
    """Return the seconds since 1970."""
    return stamp.seconds + stamp.nanos / 1e9


def _repair(text: bytes) -> bytes:
    """Return the text if it is strict JSON.

    Earlier releases stored other texts too. In these, null replaces a number that is infinite or NaN, and a question
    mark half of a surrogate pair; null also replaces a whole text that cannot be parsed or exceeds a limit.
    """
    try:
        strict_json.parse(text)
    except strict_json.InvalidJson:
        return _rewrite(text) if len(text) <= MAX_REPAIRED_BYTES else b"null"
    return text


def _rewrite(text: bytes) -> bytes:
    try:
        value = json.loads(text, parse_constant=_drop_number, parse_float=_parse_finite, parse_int=_parse_whole)
        rewritten = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        strict_json.parse(rewritten)
    except (ValueError, RecursionError):
        return b"null"
    return rewritten


def _drop_number(_: str) -> None:
    return None


def _parse_finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _parse_whole(text: str) -> int | None:
    return int(text) if len(text) <= strict_json.MAX_NUMBER_DIGITS else None
