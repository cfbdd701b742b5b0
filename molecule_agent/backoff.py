"""How long to wait before asking again."""

FIRST_DELAY_SECONDS = 1.0
"""Seconds; a plane that is just starting is there a second later."""

MAX_DELAY_SECONDS = 60.0
"""Seconds; nobody waits longer than this for an agent after the plane has come back."""


def delay(attempt: int, luck: float) -> float:
    """
    Seconds to wait after the failed `attempt` (from 0), between half and all of a time that doubles.

    `luck` in [0, 1) spreads agents that failed together, so that they do not come back together.
    """
    longest = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempt, 16))
    return longest * (1 + luck) / 2
