"""Checks the JSON texts that notes store: they come from the gateway, but only strict JSON is stored."""

from services.chassis import strict_json
from services.registry.notes.errors import InvalidNote


def decode_json_text(raw: bytes) -> str:
    """Return a JSON text unchanged; raises `InvalidNote` for bytes that are no strict JSON."""
    try:
        strict_json.parse(raw)
    except strict_json.InvalidJson:
        raise InvalidNote("invalid request body") from None
    return raw.decode()
