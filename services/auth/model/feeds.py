"""The message that the feeds of auth have in common."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Nothing happened; the feed is at this position."""

    position: int
