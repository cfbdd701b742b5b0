"""What to do next, what to say, and how long to wait: the decisions of the reconciler."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from services.provisioner.model import (
    Condition,
    Desire,
    Exited,
    Fact,
    Instance,
    Phase,
    Skipped,
    Started,
    Stopped,
    Wish,
)

SETTLING = timedelta(milliseconds=250)
"""An instance that ended is given this long before it is started again: the registry, once told, asks for a newer
generation, and starting the old one first would be work for nothing."""

LONGEST = timedelta(minutes=1)
"""No wait between two starts is longer, so that an agent that is repaired from outside comes back soon."""

MEMORY = timedelta(minutes=10)
"""Starts longer ago do not count: an agent that ran that long is not in a crash loop."""


class Step(StrEnum):
    """What can be done about one workspace."""

    NOTHING = "nothing"
    START = "start"
    STOP = "stop"
    FORGET = "forget"


def next_step(wish: Wish, instance: Instance | None) -> Step:
    """One step towards the wish.

    Called again after every step and every change, so it never needs to look further ahead than one. That is also
    why any number of restarts requested while one is under way costs exactly one more.
    """
    match wish.desire:
        case Desire.RUNNING:
            return Step.NOTHING if _runs(instance, wish.generation) else Step.START
        case Desire.STOPPED:
            return Step.STOP if _alive(instance) else Step.NOTHING
        case Desire.FORGOTTEN if _alive(instance):
            return Step.STOP
        case Desire.FORGOTTEN:
            return Step.FORGET if instance else Step.NOTHING
        case Desire.UNTOUCHED:
            return Step.NOTHING
        case _:
            assert_never(wish.desire)


def news(wish: Wish, instance: Instance | None) -> Fact | None:
    """What the registry is to know about the instance as it is now; `None` where that is nothing new to it.

    News comes before the next step. A provisioner that dies between a step and its news says them when it is back.
    """
    match wish.desire:
        case Desire.RUNNING:
            return _appearance(wish, instance)
        case Desire.STOPPED | Desire.FORGOTTEN:
            return None if wish.external or _alive(instance) else Stopped(wish.generation)
        case Desire.UNTOUCHED:
            return None
        case _:
            assert_never(wish.desire)


def skipped(wish: Wish) -> Fact | None:
    """What the registry is to know where no instance is ever started."""
    match wish.desire:
        case Desire.RUNNING:
            return Skipped(wish.generation)
        case Desire.STOPPED | Desire.FORGOTTEN:
            return None if wish.external else Stopped(wish.generation)
        case Desire.UNTOUCHED:
            return None
        case _:
            assert_never(wish.desire)


def patience(starts: Sequence[datetime], now: datetime) -> timedelta:
    """How long to wait before an instance that ended is started again, given when it was started before.

    The first restart comes at once; each further one within `MEMORY` waits twice as long after the last start.
    """
    recent = [start for start in starts if now - start < MEMORY]
    if len(recent) <= 1:
        return SETTLING
    gap = min(timedelta(seconds=2 ** min(len(recent) - 2, 10)), LONGEST)
    return max(recent[-1] + gap - now, SETTLING)


def condition(instance: Instance | None, generation: int) -> Condition:
    """How the instance a caller talked to is; of another generation nothing can be said."""
    if instance is None or instance.generation != generation:
        return Condition.UNKNOWN
    return Condition.ALIVE if instance.phase is Phase.RUNNING else Condition.GONE


def _appearance(wish: Wish, instance: Instance | None) -> Fact | None:
    if instance is None or instance.generation != wish.generation:
        return None
    if instance.phase is Phase.EXITED:
        return Exited(generation=instance.generation, reference=instance.reference, exit_code=instance.exit_code)
    if instance.reference == wish.reference:
        return None
    return Started(generation=instance.generation, address=instance.address, reference=instance.reference)


def _alive(instance: Instance | None) -> bool:
    return instance is not None and instance.phase is Phase.RUNNING


def _runs(instance: Instance | None, generation: int) -> bool:
    return instance is not None and instance.phase is Phase.RUNNING and instance.generation == generation
