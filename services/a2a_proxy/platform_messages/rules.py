"""Decides which message the start of an instance calls for."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto

from services.a2a_proxy.model import RouteChanged, Status, WorkspaceId

ONLINE_STATUSES = frozenset({Status.ONLINE, Status.DEGRADED})
"""Statuses in which the agent of an instance takes messages."""

_STATUSES_AFTER_ONLINE = ONLINE_STATUSES | {Status.OFFLINE, Status.HIBERNATING, Status.HIBERNATED}
"""Statuses that only an instance has that was online."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time at which a workspace changed its status, and the reason code of docs/spec/rest.md, section 7."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRun:
    """What the feed has shown of the present instance of a workspace. What it has not shown is `None`."""

    revision: int
    generation: int
    requested: Moment | None = None
    was_online: bool = False
    ended: Moment | None = None
    previous_end: Moment | None = None
    """The end of the last instance before it that was online."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An instance that is online."""

    workspace_id: WorkspaceId
    is_external: bool
    initial_prompt: str
    online_since: datetime | None = None
    run: InstanceRun


@dataclass(frozen=True, slots=True)
class HandledInstance:
    """The newest instance whose start has been dealt with, and the queue id of its restart notice, if it had one."""

    generation: int
    notice_id: str | None = None


class StartAction(Enum):
    """What the start of an instance calls for."""

    NOTHING = auto()
    RECORD = auto()
    """It is remembered; no message is sent."""
    SEND_INITIAL_PROMPT = auto()
    SEND_RESTART_NOTICE = auto()


def observe(before: InstanceRun | None, update: RouteChanged) -> InstanceRun:
    """Return what is known of the instance after an update; an update that is older than another changes nothing."""
    route = update.route
    if before is not None and (route.revision < before.revision or route.generation < before.generation):
        return before
    moment = None if update.status_since is None else Moment(update.status_since, route.status_reason)
    if before is None or route.generation > before.generation:
        requested = moment if route.status is Status.PROVISIONING else None
        run = InstanceRun(
            revision=route.revision,
            generation=route.generation,
            requested=requested,
            previous_end=None if before is None else _find_end(before, requested),
        )
    else:
        run = replace(before, revision=route.revision)
    if route.status is Status.PROVISIONING:
        return run
    return replace(
        run,
        was_online=run.was_online or route.status in _STATUSES_AFTER_ONLINE,
        ended=None if route.status in ONLINE_STATUSES else run.ended or moment,
    )


def _find_end(run: InstanceRun, requested: Moment | None) -> Moment | None:
    """Return how the last instance that was online ended; a request for the next one ends one that is online."""
    return run.ended or requested if run.was_online else run.previous_end


def choose_action(start: Start, handled: HandledInstance | None) -> StartAction:
    """Return what a start calls for. `handled` is `None` if no instance of the workspace has been online before."""
    if handled is None:
        return StartAction.SEND_INITIAL_PROMPT if start.initial_prompt.strip() else StartAction.RECORD
    if start.run.generation <= handled.generation:
        return StartAction.NOTHING
    return StartAction.RECORD if start.is_external else StartAction.SEND_RESTART_NOTICE
