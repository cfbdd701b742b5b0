"""What workspaces and the canvas are set to, in the words of whoever sets them (docs/spec/rest.md, 6.15)."""

import json
import math
from dataclasses import dataclass
from typing import Any

from services.registry.notes.errors import InvalidNote, NoteTooLarge

MAX_CONFIG_BYTES = 256 * 1024
"""Of the biggest object, as compact JSON."""

EMPTY_CONFIG = "{}"
"""What is kept of a workspace that nobody has set anything of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """Where the canvas stands, and how near."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0


def merge_config(before: str, patch: str) -> str:
    """The object `before` with the keys of `patch` in place of its own; raises `InvalidNote` or `NoteTooLarge`."""
    if len(patch.encode()) > MAX_CONFIG_BYTES:
        raise NoteTooLarge
    now = json.dumps(json.loads(before) | _parse_object(patch), ensure_ascii=False, separators=(",", ":"))
    if len(now.encode()) > MAX_CONFIG_BYTES:
        raise NoteTooLarge
    return now


def check_viewport(viewport: Viewport) -> None:
    """Raise `InvalidNote` for what is no place."""
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
