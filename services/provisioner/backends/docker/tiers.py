"""The isolation and the limits of each tier of a workspace.

Every tier runs as an unprivileged user, without capabilities, and cannot gain privileges. Tiers 1 and 2 cannot change
the file system of their image. Tier 4 is meant for agents that run containers themselves: if the operator allows it, it
is privileged and sees the engine's socket; otherwise it differs from tier 3 in its limits only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.provisioner.docker_options import TierLimits

MIB = 1024**2

SHARES_OF_ONE_CPU = 1024

MAX_PROCESSES = {1: 128, 2: 256, 3: 512, 4: 4096}

LAST_READ_ONLY_TIER = 2

PRIVILEGED_TIER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What a container of one tier may do and use."""

    memory_bytes: int
    cpus: float
    max_processes: int
    is_root_read_only: bool
    is_privileged: bool


def choose_tier(number: int, limits: Mapping[int, TierLimits], *, allows_privileged: bool) -> Tier:
    """Return the tier of a workspace; an unknown number gets the strictest."""
    known = number if number in MAX_PROCESSES else min(MAX_PROCESSES)
    return Tier(
        memory_bytes=limits[known].memory_mb * MIB,
        cpus=limits[known].cpu_shares / SHARES_OF_ONE_CPU,
        max_processes=MAX_PROCESSES[known],
        is_root_read_only=known <= LAST_READ_ONLY_TIER,
        is_privileged=known == PRIVILEGED_TIER and allows_privileged,
    )
