"""Rules of configurations: how objects are merged, and which viewports are valid (docs/spec/rest.md, 6.15)."""

import json
import math
from dataclasses import dataclass
from typing import Any

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
    merged = json.dumps(json.loads(before) | _parse_object(patch), ensure_ascii=False, separators=(",", ":"))
    if len(merged.encode()) > MAX_CONFIG_BYTES:
        raise NoteTooLarge
    return merged


def check_viewport(viewport: Viewport) -> None:
    """Raise `InvalidNote` for numbers that are not finite."""
    if not all(math.isfinite(number) for number in (viewport.x, viewport.y, viewport.zoom)):
        raise InvalidNote("invalid viewport data")


def _parse_object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise InvalidNote("invalid JSON")
    return read
