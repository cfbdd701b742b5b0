"""JSON and timestamps in the form of the public contract."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response


def encode_json(value: object) -> bytes:
    """Return compact JSON in UTF-8; raises `ValueError` for a value that it cannot represent."""
    return _dump_json(value).encode()


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response. A lone surrogate, which UTF-8 cannot encode, stays escaped."""
    return Response(
        _dump_json(content).encode(errors="backslashreplace"), status, headers, media_type="application/json"
    )


def format_timestamp(stamp: Timestamp) -> str:
    """Return a timestamp in RFC 3339, in UTC with microseconds."""
    when = datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_seconds(stamp: Timestamp) -> float:
    """Return the seconds since 1970."""
    return stamp.seconds + stamp.nanos / 1e9


def drop_zero_fraction(value: float) -> float:
    """Return a whole number as an integer, so that JSON shows no fraction."""
    return int(value) if value.is_integer() else value


def _dump_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
