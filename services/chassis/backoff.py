"""Exponential backoff: how long to wait before the next attempt."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """A delay that doubles with each consecutive failure, from `first` up to `maximum`.

    Equal values give a constant delay. The chassis computes delays only; each caller keeps its own loop, deadline and
    error handling, so a retry library such as stamina would add a second loop around them.
    """

    first: timedelta
    maximum: timedelta

    def __post_init__(self) -> None:
        if not timedelta() < self.first <= self.maximum:
            raise ValueError("first must be positive and at most maximum")

    def delay(self, failures: int, jitter: float = 1.0) -> timedelta:
        """Return the delay after so many consecutive failures; zero after none.

        `jitter` in [0, 1] is chosen by the caller: 0 gives half of the delay, 1 all of it.
        """
        if failures < 1:
            return timedelta()
        doublings = min(failures - 1, (self.maximum // self.first).bit_length())
        return min(self.first * (1 << doublings), self.maximum) * ((1 + jitter) / 2)
