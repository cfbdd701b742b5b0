"""Rules of configurations: how objects are merged, and which viewports are valid (docs/spec/rest.md, 6.15)."""

import json
import math
from dataclasses import dataclass
from typing import Any

from services.chassis import strict_json
from services.registry.notes.errors import InvalidNote, NoteTooLarge

MAX_CONFIG_BYTES = 256 * 1024
"""Bytes of an object as compact JSON."""

EMPTY_CONFIG = "{}"
"""The object of a workspace without a stored one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """The visible part of the canvas: its centre, and the zoom factor."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0


def merge_config(before: str, patch: str) -> str:
    """Return the object `before` with the keys of `patch` replaced; raises `InvalidNote` or `NoteTooLarge`."""
    if len(patch.encode()) > MAX_CONFIG_BYTES:
        raise NoteTooLarge
    merged = strict_json.dump(_parse_stored(before) | _parse_object(patch))
    if len(merged) > MAX_CONFIG_BYTES:
        raise NoteTooLarge
    return merged.decode()


def check_viewport(viewport: Viewport) -> None:
    """Raise `InvalidNote` for numbers that are not finite."""
    if not all(math.isfinite(number) for number in (viewport.x, viewport.y, viewport.zoom)):
        raise InvalidNote("invalid viewport data")


def _parse_stored(text: str) -> dict[str, Any]:
    """Return a stored object. Earlier releases stored some that are not strict JSON; a patch can replace their keys."""
    try:
        read: dict[str, Any] = strict_json.parse(text.encode())
    except strict_json.InvalidJson:
        read = json.loads(text)
    return read


def _parse_object(text: str) -> dict[str, Any]:
    try:
        read = strict_json.parse(text.encode())
    except strict_json.InvalidJson:
        read = None
    if not isinstance(read, dict):
        raise InvalidNote("invalid JSON")
    return read
