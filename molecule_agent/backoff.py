"""Computes the delay between two attempts to reach the plane."""

FIRST_DELAY_SECONDS = 1.0
"""A plane that is just starting needs about a second."""

MAX_DELAY_SECONDS = 60.0
"""An agent registers at most this long after the plane has come back."""


def compute_delay(attempt: int, random_fraction: float, *, max_delay: float = MAX_DELAY_SECONDS) -> float:
    """
    Seconds to wait after the failed `attempt` (from 0): between half and all of a delay that doubles each time.

    The delay grows to `max_delay`.
    `random_fraction` in [0, 1) is the jitter: agents that failed at the same time do not retry at the same time.
    """
    longest = min(max_delay, FIRST_DELAY_SECONDS * 2.0 ** min(attempt, 16))
    return longest * (1 + random_fraction) / 2
