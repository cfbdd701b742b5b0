"""The isolation and the limits of each tier of a workspace.

Every tier runs as an unprivileged user, without capabilities, and cannot gain privileges. Tiers 1 and 2 cannot change
the file system of their image. Tier 4 is meant for agents that run containers themselves: if the operator allows it, it
is privileged and sees the engine's socket; otherwise it differs from tier 3 in its limits only.
"""

from dataclasses import dataclass

GIB = 1024**3
BILLION = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What a container of one tier may do and use."""

    memory_bytes: int
    nano_cpus: int
    """Billionths of a processor."""
    max_processes: int
    is_root_read_only: bool = False
    is_privileged: bool = False


DEFAULT_TIER = 3

TIERS = {
    1: Tier(memory_bytes=GIB // 2, nano_cpus=BILLION // 2, max_processes=128, is_root_read_only=True),
    2: Tier(memory_bytes=GIB, nano_cpus=BILLION, max_processes=256, is_root_read_only=True),
    3: Tier(memory_bytes=2 * GIB, nano_cpus=2 * BILLION, max_processes=512),
    4: Tier(memory_bytes=4 * GIB, nano_cpus=4 * BILLION, max_processes=1024),
}

PRIVILEGED = Tier(memory_bytes=4 * GIB, nano_cpus=4 * BILLION, max_processes=4096, is_privileged=True)
"""Tier 4 where the operator allows it."""


def choose_tier(number: int, *, allows_privileged: bool) -> Tier:
    """Return the tier of a workspace; an unknown number gets the strictest."""
    if number == max(TIERS) and allows_privileged:
        return PRIVILEGED
    return TIERS.get(number, TIERS[1])
