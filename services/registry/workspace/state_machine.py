"""The state machine: what a fact makes of a workspace."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from services.registry.workspace import health
from services.registry.workspace.facts import (
    BootstrapFailed,
    ExternalCreated,
    Fact,
    HibernateRequested,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    PauseRequested,
    ProvisioningFailed,
    ProvisioningTimedOut,
    Pulse,
    Registered,
    Removed,
    RestartRequested,
    ResumeRequested,
    Silence,
    StopFailed,
    UpstreamDead,
    is_old_news,
)
from services.registry.workspace.model import NO_BACKEND, Reason, Status, Workspace
from services.registry.workspace.status_texts import DECLARED, DETAILS, TIMED_OUT

SPEAKING = frozenset({Status.ONLINE, Status.DEGRADED})
"""Silence means something here."""

REACHABLE = SPEAKING | {Status.PROVISIONING, Status.OFFLINE, Status.AWAITING_AGENT, Status.FAILED}
"""A register means something here; a workspace that was stopped on purpose stays so until told otherwise."""

RESTARTED_BY_ITSELF = SPEAKING | {Status.PROVISIONING, Status.OFFLINE, Status.FAILED}
"""Where the plane may start a fresh instance without being asked."""


def after(workspace: Workspace, fact: Fact) -> Workspace:  # noqa: C901, PLR0911, PLR0912 - one line for each fact
    """The workspace once `fact` is known; the very same object if nothing changes.

    Removed is final: a late heartbeat brings nobody back. News of another
    generation is old news: a dying instance cannot speak for its successor.
    """
    if workspace.status is Status.REMOVED:
        return _laid_to_rest(workspace, fact)
    if is_old_news(fact, workspace):
        return workspace
    match fact:
        case ExternalCreated():
            return _declared(workspace, fact)
        case Registered():
            return _registered(workspace, fact)
        case Pulse():
            return _felt(workspace, fact)
        case Silence():
            return _silent(workspace, fact)
        case InstanceStarted():
            return _started(workspace, fact)
        case InstanceSkipped():
            return _skipped(workspace, fact)
        case InstanceExited():
            return _lost(workspace, SPEAKING, Reason.CONTAINER_NOT_RUNNING, fact.at)
        case UpstreamDead():
            return _lost(workspace, SPEAKING | {Status.FAILED}, Reason.UPSTREAM_DEAD, fact.at)
        case InstanceStopped():
            return _stopped(workspace, fact)
        case StopFailed():
            return _kept_running(workspace, fact)
        case ProvisioningFailed():
            return _failed(workspace, Reason.PROVISION_ERROR, fact.error, fact.at)
        case ProvisioningTimedOut():
            return _timed_out(workspace, fact)
        case BootstrapFailed():
            return _failed(workspace, Reason.BOOTSTRAP_FAILED, fact.error, fact.at)
        case RestartRequested():
            return _restarted(workspace, fact)
        case PauseRequested():
            return _paused(workspace, fact)
        case ResumeRequested():
            return _resumed(workspace, fact)
        case HibernateRequested():
            return _hibernating(workspace, fact)
        case Removed():
            return _removed(workspace, fact)
        case _:
            assert_never(fact)


def _declared(workspace: Workspace, fact: ExternalCreated) -> Workspace:
    if workspace.status is not Status.PROVISIONING or not workspace.external:
        return workspace
    if not workspace.url:
        return _as(workspace, Status.AWAITING_AGENT, Reason.EXTERNAL_CREATED, fact.at)
    seen = replace(workspace.vitals, last_seen=fact.at)
    return _as(workspace, Status.ONLINE, Reason.EXTERNAL_CREATED, fact.at, status_detail=DECLARED, vitals=seen)


def _registered(workspace: Workspace, fact: Registered) -> Workspace:
    if workspace.status not in REACHABLE:
        return workspace
    return _as(workspace, Status.ONLINE, Reason.REGISTERED, fact.at)


def _felt(workspace: Workspace, pulse: Pulse) -> Workspace:
    judged = health.judge(workspace, pulse)
    return workspace if judged is None else _as(workspace, *judged, pulse.at)


def _silent(workspace: Workspace, fact: Silence) -> Workspace:
    limit = fact.patience.with_agent_of(workspace)
    seen = workspace.vitals.last_seen
    if workspace.status not in SPEAKING or (seen is not None and fact.at - seen < limit):
        return workspace
    if workspace.external:
        return _as(workspace, Status.AWAITING_AGENT, Reason.AGENT_STALE, fact.at)
    return _as(workspace, Status.OFFLINE, Reason.LIVENESS_TIMEOUT, fact.at)


def _started(workspace: Workspace, fact: InstanceStarted) -> Workspace:
    now = replace(
        workspace,
        backend=fact.backend,
        backend_address=fact.address,
        instance_reference=fact.reference,
    )
    return workspace if now == workspace else now


def _skipped(workspace: Workspace, fact: InstanceSkipped) -> Workspace:
    """The workspace waits for an agent that brings itself, for as long as that takes."""
    now = replace(
        workspace,
        backend=fact.backend,
        backend_address="",
        instance_reference="",
        provision_deadline=None,
    )
    return workspace if now == workspace else now


def _lost(workspace: Workspace, where: frozenset[Status], reason: Reason, at: datetime) -> Workspace:
    if workspace.status not in where or workspace.external:
        return workspace
    return _as(workspace, Status.OFFLINE, reason, at)


def _hibernating(workspace: Workspace, fact: HibernateRequested) -> Workspace:
    """Claimed before the stop. Its address stays until it is stopped: if that fails, it is where it was."""
    if workspace.status not in SPEAKING or workspace.external:
        return workspace
    return _as(workspace, Status.HIBERNATING, fact.reason, fact.at, former_status=workspace.status, wake_wanted=False)


def _stopped(workspace: Workspace, fact: InstanceStopped) -> Workspace:
    if workspace.status is not Status.HIBERNATING:
        return workspace
    gone = _NOWHERE | {"former_status": None}
    return _as(workspace, Status.HIBERNATED, workspace.status_reason, fact.at, **gone)


def _kept_running(workspace: Workspace, fact: StopFailed) -> Workspace:
    if workspace.status is not Status.HIBERNATING:
        return workspace
    back = workspace.former_status or Status.ONLINE
    return _as(workspace, back, Reason.HIBERNATE_FAILED, fact.at, former_status=None, wake_wanted=False)


def _paused(workspace: Workspace, fact: PauseRequested) -> Workspace:
    if workspace.status is Status.PAUSED:
        return workspace
    gone = _NOWHERE | {"former_status": None, "wake_wanted": False}
    return _as(workspace, Status.PAUSED, Reason.PAUSE_REQUESTED, fact.at, **gone)


def _resumed(workspace: Workspace, fact: ResumeRequested) -> Workspace:
    if workspace.status is not Status.PAUSED:
        return workspace
    if workspace.external:
        return _as(workspace, Status.AWAITING_AGENT, Reason.RESUME_REQUESTED, fact.at)
    return _anew(workspace, Reason.RESUME_REQUESTED, fact.at, fact.limit)


def _failed(workspace: Workspace, reason: Reason, error: str, at: datetime) -> Workspace:
    if workspace.status is not Status.PROVISIONING:
        return workspace
    return _as(workspace, Status.FAILED, reason, at, vitals=replace(workspace.vitals, sample_error=error))


def _timed_out(workspace: Workspace, fact: ProvisioningTimedOut) -> Workspace:
    if workspace.provision_deadline is None or fact.at < workspace.provision_deadline:
        return workspace
    return _failed(workspace, Reason.PROVISION_TIMEOUT, TIMED_OUT, fact.at)


def _restarted(workspace: Workspace, fact: RestartRequested) -> Workspace:
    if workspace.external:
        return workspace
    if fact.reason is Reason.AUTO_RESTART and workspace.status not in RESTARTED_BY_ITSELF:
        return workspace
    if workspace.status is Status.HIBERNATING:
        return workspace if workspace.wake_wanted else replace(workspace, wake_wanted=True)
    reason = Reason.WAKE if workspace.status is Status.HIBERNATED else fact.reason
    return _anew(workspace, reason, fact.at, fact.limit)


def _anew(workspace: Workspace, reason: Reason, at: datetime, limit: timedelta) -> Workspace:
    """A fresh instance is wanted."""
    return replace(
        workspace,
        status=Status.PROVISIONING,
        status_reason=reason,
        status_detail=DETAILS[reason],
        status_since=at,
        generation=workspace.generation + 1,
        provision_deadline=at + limit,
        instance_reference="",
        wake_wanted=False,
        **_NOWHERE,
    )


def _removed(workspace: Workspace, fact: Removed) -> Workspace:
    """What was never started needs no stopping."""
    idle = workspace.external or workspace.generation == 0 or workspace.backend == NO_BACKEND
    return _as(
        workspace,
        Status.REMOVED,
        workspace.removal_reason,
        fact.at,
        removed_at=fact.at,
        stopped_at=fact.at if idle else None,
    )


def _laid_to_rest(workspace: Workspace, fact: Fact) -> Workspace:
    """All that still happens to a removed workspace: its instance is stopped, or cannot be."""
    if workspace.stopped_at is not None:
        return workspace
    match fact:
        case InstanceStopped():
            return replace(workspace, stopped_at=fact.at, stop_error="")
        case StopFailed() if fact.text != workspace.stop_error:
            return replace(workspace, stop_error=fact.text)
        case _:
            return workspace


def _as(
    workspace: Workspace,
    status: Status,
    reason: Reason,
    at: datetime,
    **changes: Any,  # noqa: ANN401 - fields of the workspace
) -> Workspace:
    """The workspace in another status, or in the same for another reason; the same object if neither is another."""
    if (workspace.status, workspace.status_reason) == (status, reason):
        return workspace
    changes.setdefault("status_detail", DETAILS[reason])
    return replace(
        workspace,
        status=status,
        status_reason=reason,
        status_since=at if status is not workspace.status else workspace.status_since,
        provision_deadline=None,
        **changes,
    )


_NOWHERE: dict[str, Any] = {"url": "", "backend_address": ""}
"""No instance, no address."""
