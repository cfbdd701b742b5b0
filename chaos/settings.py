"""How a chaos run is shaped: its length, its load, and the settings with which its plane runs."""

from dataclasses import dataclass

from chaos.model import AgentKind

PLANE_ENVIRONMENT = {
    "RATE_LIMIT": "1000000",
    "A2A_IDLE_TIMEOUT_SECONDS": "2",
    "A2A_PROXY_QUEUE_LEASE": "3",
    "A2A_PROXY_QUEUE_RENEWAL": "1",
    "REMOTE_LIVENESS_STALE_AFTER": "86400",
}
"""Settings of the plane: short leases and a short idle timeout, so that a run meets both many times."""

LEASE_SECONDS = 3.0
"""The lease in `PLANE_ENVIRONMENT`."""

FEED_SILENCE_SECONDS = 8.0
"""Seconds of silence after which the plane uses nothing that it learnt from a feed."""

MAX_CONCURRENT_TASKS = 4
"""Tasks that each agent takes at a time."""

WEIGHTS = {
    AgentKind.ECHO: 30,
    AgentKind.SLOW: 15,
    AgentKind.BUSY: 15,
    AgentKind.POLL: 15,
    AgentKind.CLOSING: 5,
    AgentKind.DYING: 5,
    AgentKind.TWICE: 5,
    AgentKind.GARBAGE: 4,
    AgentKind.SILENT: 2,
    AgentKind.HALF: 2,
    AgentKind.ENDLESS: 2,
    AgentKind.LARGE: 0.3,
}
"""Shares of the load of each kind of agent. Those that hold a slot until a timeout receive few messages."""

UNLIMITED_ROUNDS = 1_000_000
"""More rounds of faults than a run lasts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The length and the load of a run."""

    seed: int
    seconds: float
    """Longest time of the load."""
    rounds: int = UNLIMITED_ROUNDS
    """How often all faults are injected; the load ends after the last one."""
    senders: int = 64
    rate: float = 60.0
    """Messages a second of all senders; a sender that waits for an answer sends none."""
    quiet_seconds: float = 120.0
    """Seconds within which the queue has to be empty after the load."""
