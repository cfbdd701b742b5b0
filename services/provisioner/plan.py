"""What to do next, what to say, and how long to wait: the decisions of the reconciler."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from services.provisioner.model import (
    Condition,
    DesiredState,
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
"""Starts longer before the last one do not count: an agent that ran that long is not in a crash loop."""

FIRST_PAUSE = timedelta(milliseconds=250)
"""The wait after a first failure; each further one is twice as long."""

LONGEST_PAUSE = timedelta(seconds=15)
"""No such wait is longer: somebody may be waiting for a stop, for thirty seconds."""

REMEMBERED = 12
"""How many starts can make a difference."""

AT_ONCE = datetime.min.replace(tzinfo=UTC)
"""Before every moment there is."""


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
        case DesiredState.RUNNING:
            return Step.NOTHING if _runs(instance, wish.generation) else Step.START
        case DesiredState.STOPPED:
            return Step.STOP if _alive(instance) else Step.NOTHING
        case DesiredState.FORGOTTEN if _alive(instance):
            return Step.STOP
        case DesiredState.FORGOTTEN:
            return Step.FORGET if instance else Step.NOTHING
        case DesiredState.UNTOUCHED:
            return Step.NOTHING
        case _:
            assert_never(wish.desire)


def news(wish: Wish, instance: Instance | None) -> Fact | None:
    """What the registry is to know about the instance as it is now; `None` where that is nothing new to it.

    News comes before the next step. A provisioner that dies between a step and its news says them when it is back.
    """
    match wish.desire:
        case DesiredState.RUNNING:
            return _appearance(wish, instance)
        case DesiredState.STOPPED | DesiredState.FORGOTTEN:
            return None if _alive(instance) or (wish.external and not instance) else Stopped(wish.generation)
        case DesiredState.UNTOUCHED:
            return None
        case _:
            assert_never(wish.desire)


def skipped(wish: Wish) -> Fact | None:
    """What the registry is to know where no instance is ever started."""
    match wish.desire:
        case DesiredState.RUNNING:
            return Skipped(wish.generation)
        case DesiredState.STOPPED | DesiredState.FORGOTTEN:
            return None if wish.external else Stopped(wish.generation)
        case DesiredState.UNTOUCHED:
            return None
        case _:
            assert_never(wish.desire)


def not_before(wish: Wish, instance: Instance | None, starts: Sequence[datetime], ended: datetime | None) -> datetime:
    """When the wished instance may be started at the earliest, given when earlier ones were started.

    The first restart of an agent that ended comes at once; each further one within `MEMORY` of the newest waits
    twice as long after the last start. Whoever asks for a restart is not made to wait.
    """
    if instance is None or instance.phase is Phase.RUNNING or asked_for(wish, instance):
        return AT_ONCE
    settled = ended + SETTLING if ended and instance.generation == wish.generation else AT_ONCE
    recent = [start for start in starts if start > starts[-1] - MEMORY]
    if len(recent) <= 1:
        return settled
    return max(settled, recent[-1] + min(timedelta(seconds=1 << min(len(recent) - 2, 10)), LONGEST))


def asked_for(wish: Wish, instance: Instance) -> bool:
    """Whether a newer instance is wanted because somebody asked for it, and not because the older one ended."""
    return wish.generation != instance.generation and not wish.automatic


def pause_after(failures: int) -> timedelta:
    """How long to wait after so many failures in a row."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 10)), LONGEST_PAUSE)


def condition(wish: Wish | None, instance: Instance | None, generation: int) -> Condition:
    """How the instance a caller talked to is; of another generation nothing can be said.

    Without the wish, which only the replica that holds the instances knows, one that is not there may never have been.
    """
    if instance is None and wish and wish.reference and wish.generation == generation:
        return Condition.GONE
    if instance is None or instance.generation != generation:
        return Condition.UNKNOWN
    return Condition.ALIVE if instance.phase is Phase.RUNNING else Condition.GONE


def _appearance(wish: Wish, instance: Instance | None) -> Fact | None:
    if instance is None and wish.reference:
        return Exited(generation=wish.generation, reference=wish.reference, exit_code=None)
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
