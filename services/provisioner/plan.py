"""Decides what the reconciler does next: which fact to report, which step to take, and when to start again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from services.chassis.backoff import Backoff
from services.provisioner.errors import BackendUnavailable, DiskFull
from services.provisioner.model import (
    BackendEvent,
    BackendEventKind,
    Condition,
    DesiredInstance,
    DesiredState,
    Fact,
    Instance,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    Phase,
    ProvisioningStep,
)

SETTLE_TIME = timedelta(milliseconds=250)
"""Time between the end of an instance and a restart in the same generation. After the report of the end the registry
usually raises the generation, and a start of the old one would be replaced at once."""

RESTART_BACKOFF = Backoff(first=timedelta(seconds=1), maximum=timedelta(minutes=1))
"""The delay between two starts of an instance that keeps ending. The maximum is short, so that an agent whose problem
was fixed comes back soon."""

CRASH_LOOP_WINDOW = timedelta(minutes=10)
"""Starts longer before the last one are ignored: an agent that ran that long is not in a crash loop."""

RETRY_BACKOFF = Backoff(first=timedelta(milliseconds=250), maximum=timedelta(seconds=15))
"""The delay after a failed step. The maximum is below the 30 s that a caller waits for a stop."""

CHECK_BACKOFF = Backoff(first=timedelta(seconds=5), maximum=timedelta(minutes=1))
"""The delay between two checks of whether what prevented a start is mended. A check starts nothing and reports nothing
unless it succeeds."""

FAILED_START_BACKOFF = Backoff(first=timedelta(minutes=1), maximum=timedelta(minutes=15))
"""The delay before another start after the backend refused one: only a start can find out whether that is mended, and
each one costs two events."""

PROBE_TIMEOUT = timedelta(seconds=10)
"""How long a backend that was away may take to answer a probe."""

MAX_REMEMBERED_STARTS = 12
"""Starts that are kept for each workspace: more do not change the delay."""

MAX_REMEMBERED_EVENTS = 10
"""Events of its backend that are kept for each workspace."""

EARLIEST_TIME = datetime.min.replace(tzinfo=UTC)
"""A time before every other one."""


class Step(StrEnum):
    """A step that changes the instance of a workspace."""

    NOTHING = "nothing"
    START = "start"
    STOP = "stop"
    FORGET = "forget"
    CHECK = "check"
    """Check whether a start that failed may succeed now."""


def choose_step(desired: DesiredInstance, instance: Instance | None) -> Step:
    """Return the next step towards the desired state.

    The reconciler calls this after every step and every change. So any number of restarts that are requested while one
    is in progress causes exactly one more.
    """
    match desired.state:
        case DesiredState.RUNNING:
            return Step.NOTHING if _is_running_generation(instance, desired.generation) else Step.START
        case DesiredState.STOPPED:
            return Step.STOP if _is_running(instance) else Step.NOTHING
        case DesiredState.FORGOTTEN if _is_running(instance):
            return Step.STOP
        case DesiredState.FORGOTTEN:
            return Step.FORGET if instance else Step.NOTHING
        case DesiredState.UNTOUCHED:
            return Step.CHECK if desired.has_failed_start else Step.NOTHING
        case _:
            assert_never(desired.state)


def needs_slot(desired: DesiredInstance, step: Step) -> bool:
    """Whether the workspace waits for a slot, or keeps the one that it has: it starts, or its agent still boots."""
    is_booting = desired.state is DesiredState.RUNNING and desired.is_provisioning
    return step is Step.START or (step is Step.NOTHING and is_booting)


def choose_fact(desired: DesiredInstance, instance: Instance | None) -> Fact | None:
    """Return the fact that the registry does not know yet; `None` if there is none.

    Facts are reported before the next step. A provisioner that crashes between a step and its report finds the same
    fact after its restart.
    """
    match desired.state:
        case DesiredState.RUNNING:
            return _compare_running_instance(desired, instance)
        case DesiredState.FORGOTTEN if instance and not desired.external:
            # The feed leaves a removed workspace out once it is stopped, so what is left would never be forgotten.
            return None
        case DesiredState.STOPPED | DesiredState.FORGOTTEN:
            if _is_running(instance) or (desired.external and not instance):
                return None
            return InstanceStopped(desired.generation)
        case DesiredState.UNTOUCHED:
            return None
        case _:
            assert_never(desired.state)


def choose_fact_without_instances(desired: DesiredInstance) -> Fact | None:
    """Return the fact to report where the backend never starts an instance."""
    match desired.state:
        case DesiredState.RUNNING:
            return InstanceSkipped(desired.generation)
        case DesiredState.STOPPED | DesiredState.FORGOTTEN:
            return None if desired.external else InstanceStopped(desired.generation)
        case DesiredState.UNTOUCHED:
            return None
        case _:
            assert_never(desired.state)


def compute_earliest_start(
    desired: DesiredInstance, instance: Instance | None, starts: Sequence[datetime], ended_at: datetime | None
) -> datetime:
    """Return the earliest time at which the desired instance may be started.

    `starts` are the times of earlier starts, oldest first; `ended_at` is the time at which the end of the last instance
    was noticed. The first automatic restart has no delay; each further one within `CRASH_LOOP_WINDOW` waits for
    `RESTART_BACKOFF` after the last start. A restart that a caller requested has no delay.
    """
    if instance is None or instance.phase is Phase.RUNNING or is_requested_restart(desired, instance):
        return EARLIEST_TIME
    settled = ended_at + SETTLE_TIME if ended_at and instance.generation == desired.generation else EARLIEST_TIME
    recent = [start for start in starts if start > starts[-1] - CRASH_LOOP_WINDOW]
    if len(recent) <= 1:
        return settled
    return max(settled, recent[-1] + RESTART_BACKOFF.delay(len(recent) - 1))


def limit_to_now(times: Sequence[datetime], now: datetime) -> list[datetime]:
    """Return the times, none later than now: after the clock was set back, nothing waits for the old time to come."""
    return [min(time, now) for time in times]


def is_requested_restart(desired: DesiredInstance, instance: Instance) -> bool:
    """Whether a caller requested the newer generation; false if it was raised because the instance ended."""
    return desired.generation != instance.generation and not desired.is_automatic_restart


def assess_condition(desired: DesiredInstance | None, instance: Instance | None, generation: int) -> Condition:
    """Return the condition of the instance of one generation; UNKNOWN for every other generation.

    `desired` is `None` in replicas that do not run the reconciler. Then a missing instance may never have existed.
    """
    if instance is None and desired and desired.reference and desired.generation == generation:
        return Condition.GONE
    if instance is None or instance.generation != generation:
        return Condition.UNKNOWN
    return Condition.ALIVE if instance.phase is Phase.RUNNING else Condition.GONE


def choose_provisioning_step(kind: BackendEventKind) -> ProvisioningStep:
    """Return the step in which a backend is that reports an event during a start."""
    return ProvisioningStep.PULLING if kind is BackendEventKind.IMAGE_PULL_BEGUN else ProvisioningStep.STARTING


def append_event(events: tuple[BackendEvent, ...], event: BackendEvent) -> tuple[BackendEvent, ...]:
    """Return the last events together with a new one."""
    return (*events, event)[-MAX_REMEMBERED_EVENTS:]


def describe_postponement(error: Exception) -> tuple[str, BackendEventKind | None]:
    """Return why a step that failed is repeated, as a code, and the event that it is."""
    match error:
        case DiskFull():
            return "disk_full", BackendEventKind.DISK_FULL
        case BackendUnavailable():
            return "backend_unavailable", BackendEventKind.BACKEND_UNAVAILABLE
        case TimeoutError():
            return "start_timed_out", BackendEventKind.START_TIMED_OUT
        case _:
            return "plane_unavailable", None


def _compare_running_instance(desired: DesiredInstance, instance: Instance | None) -> Fact | None:
    if instance is None and desired.reference:
        return InstanceExited(generation=desired.generation, reference=desired.reference, exit_code=None)
    if instance is None or instance.generation != desired.generation:
        return None
    if instance.phase is Phase.EXITED:
        return InstanceExited(
            generation=instance.generation, reference=instance.reference, exit_code=instance.exit_code
        )
    if instance.reference == desired.reference:
        return None
    return InstanceStarted(generation=instance.generation, address=instance.address, reference=instance.reference)


def _is_running(instance: Instance | None) -> bool:
    return instance is not None and instance.phase is Phase.RUNNING


def _is_running_generation(instance: Instance | None, generation: int) -> bool:
    return instance is not None and instance.phase is Phase.RUNNING and instance.generation == generation
