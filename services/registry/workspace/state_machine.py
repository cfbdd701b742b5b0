"""The state machine of workspaces: `next_state` applies a fact to a workspace."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from services.registry.workspace import health
from services.registry.workspace.facts import (
    BootstrapFailed,
    ExternalCreated,
    Fact,
    HeartbeatMissed,
    HeartbeatReceived,
    HibernateRequested,
    IdleCheckBegun,
    IdleCheckEnded,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    PauseRequested,
    ProvisioningCancelled,
    ProvisioningFailed,
    ProvisioningPossible,
    ProvisioningTimedOut,
    Registered,
    Removed,
    RestartRequested,
    ResumeRequested,
    StopFailed,
    UpstreamDead,
    is_outdated,
)
from services.registry.workspace.hearing import measure_silence
from services.registry.workspace.model import NO_BACKEND, Reason, Status, Workspace
from services.registry.workspace.routes import RUNNING_STATUSES
from services.registry.workspace.status_texts import (
    DECLARED_EXTERNAL_DETAIL,
    PROVISION_CANCELLED_TEXT,
    PROVISION_TIMEOUT_TEXT,
    STATUS_DETAILS,
    describe_failure,
    describe_restarts,
)

ONLINE_STATUSES = frozenset({Status.ONLINE, Status.DEGRADED})
"""Statuses in which an agent must send heartbeats."""

REGISTRABLE_STATUSES = ONLINE_STATUSES | {Status.PROVISIONING, Status.OFFLINE, Status.AWAITING_AGENT, Status.FAILED}
"""Statuses in which an agent may register; a workspace that was stopped on request stays stopped."""

AUTO_RESTART_STATUSES = ONLINE_STATUSES | {Status.PROVISIONING, Status.OFFLINE, Status.FAILED}
"""Statuses in which the plane may start a new instance without a request."""


def next_state(workspace: Workspace, fact: Fact) -> Workspace:  # noqa: C901, PLR0911, PLR0912 - one line for each fact
    """Return the workspace after `fact`; the same object if nothing changes.

    A removed workspace never returns to another status. A fact about another generation changes nothing, because a
    replaced instance must not affect its successor.
    """
    if workspace.status is Status.REMOVED:
        return _after_fact_of_removed(workspace, fact)
    if is_outdated(fact, workspace):
        return workspace
    match fact:
        case ExternalCreated():
            return _after_external_created(workspace, fact)
        case Registered():
            return _after_registered(workspace, fact)
        case HeartbeatReceived():
            return _after_heartbeat(workspace, fact)
        case HeartbeatMissed():
            return _after_missed_heartbeat(workspace, fact)
        case InstanceStarted():
            return _after_instance_started(workspace, fact)
        case InstanceSkipped():
            return _after_instance_skipped(workspace, fact)
        case InstanceExited():
            return _after_instance_exited(workspace, fact)
        case UpstreamDead():
            return _after_instance_lost(workspace, ONLINE_STATUSES | {Status.FAILED}, Reason.UPSTREAM_DEAD, fact.at)
        case InstanceStopped():
            return _after_instance_stopped(workspace, fact)
        case StopFailed():
            return _after_stop_failed(workspace, fact)
        case ProvisioningFailed():
            return _to_failed(workspace, Reason.PROVISION_ERROR, fact.error, fact.at, fact.missing)
        case ProvisioningPossible():
            return workspace
        case ProvisioningTimedOut():
            return _after_provisioning_timed_out(workspace, fact)
        case ProvisioningCancelled():
            return _after_cancelled(workspace, fact)
        case BootstrapFailed():
            return _to_failed(workspace, Reason.BOOTSTRAP_FAILED, fact.error, fact.at)
        case RestartRequested():
            return _after_restart_requested(workspace, fact)
        case PauseRequested():
            return _after_pause_requested(workspace, fact)
        case ResumeRequested():
            return _after_resume_requested(workspace, fact)
        case HibernateRequested():
            return _after_hibernate_requested(workspace, fact)
        case IdleCheckBegun():
            return _after_idle_check_begun(workspace, fact)
        case IdleCheckEnded():
            return _after_idle_check_ended(workspace, fact)
        case Removed():
            return _after_removed(workspace, fact)
        case _:
            assert_never(fact)


def may_register(workspace: Workspace) -> bool:
    """Whether the agent of the workspace may register in its status."""
    return workspace.status in REGISTRABLE_STATUSES and not workspace.is_cancelled


def may_start_again(workspace: Workspace, fact: ProvisioningPossible) -> bool:
    """Whether the fact is about the start that failed: then the plane requests a new instance."""
    has_failed_start = workspace.status is Status.FAILED and workspace.status_reason is Reason.PROVISION_ERROR
    return has_failed_start and not is_outdated(fact, workspace)


def _after_external_created(workspace: Workspace, fact: ExternalCreated) -> Workspace:
    if workspace.status is not Status.PROVISIONING or not workspace.external:
        return workspace
    if not workspace.url:
        return _to_status(workspace, Status.AWAITING_AGENT, Reason.EXTERNAL_CREATED, fact.at)
    seen = replace(workspace.vitals, last_seen=fact.at)
    return _to_status(
        workspace, Status.ONLINE, Reason.EXTERNAL_CREATED, fact.at, status_detail=DECLARED_EXTERNAL_DETAIL, vitals=seen
    )


def _after_registered(workspace: Workspace, fact: Registered) -> Workspace:
    if not may_register(workspace):
        return workspace
    return _to_status(workspace, Status.ONLINE, Reason.REGISTERED, fact.at)


def _after_heartbeat(workspace: Workspace, heartbeat: HeartbeatReceived) -> Workspace:
    judged = health.judge_heartbeat(workspace, heartbeat)
    return workspace if judged is None else _to_status(workspace, *judged, heartbeat.at)


def _after_missed_heartbeat(workspace: Workspace, fact: HeartbeatMissed) -> Workspace:
    limit = fact.timeouts.get_timeout(workspace)
    silence = measure_silence(fact.hearing, workspace.vitals.last_seen, fact.at)
    if workspace.status not in ONLINE_STATUSES or silence < limit:
        return workspace
    if workspace.external:
        return _to_status(workspace, Status.AWAITING_AGENT, Reason.AGENT_STALE, fact.at)
    return _to_status(workspace, Status.OFFLINE, Reason.LIVENESS_TIMEOUT, fact.at)


def _after_instance_started(workspace: Workspace, fact: InstanceStarted) -> Workspace:
    now = replace(
        workspace,
        backend=fact.backend,
        backend_address=fact.address,
        instance_reference=fact.reference,
    )
    return workspace if now == workspace else now


def _after_instance_skipped(workspace: Workspace, fact: InstanceSkipped) -> Workspace:
    """Store the backend. The workspace then waits without a deadline for an agent that is started elsewhere."""
    now = replace(
        workspace,
        backend=fact.backend,
        backend_address="",
        instance_reference="",
        provision_deadline=None,
    )
    return workspace if now == workspace else now


def _after_instance_lost(workspace: Workspace, where: frozenset[Status], reason: Reason, at: datetime) -> Workspace:
    if workspace.status not in where or workspace.external or workspace.is_cancelled:
        return workspace
    return _to_status(workspace, Status.OFFLINE, reason, at)


def _after_instance_exited(workspace: Workspace, fact: InstanceExited) -> Workspace:
    """Count the end of an instance once, however often it is reported."""
    if workspace.external or workspace.status not in RUNNING_STATUSES:
        return workspace
    is_repeated = fact.reference != "" and fact.reference == workspace.last_exit_reference
    counted = workspace
    if not is_repeated:
        counted = replace(
            workspace,
            restart_count=workspace.restart_count + 1,
            last_exit_at=fact.at,
            last_exit_code=fact.exit_code,
            last_exit_reference=fact.reference,
        )
        detail = describe_restarts(workspace.status_reason, counted.restart_count, counted.last_exit_code)
        counted = replace(counted, status_detail=detail)
    return _after_instance_lost(counted, ONLINE_STATUSES, Reason.CONTAINER_NOT_RUNNING, fact.at)


def _after_hibernate_requested(workspace: Workspace, fact: HibernateRequested) -> Workspace:
    """Start to hibernate. The address is kept until the instance has stopped: a failed stop restores the status."""
    if workspace.status not in ONLINE_STATUSES or workspace.external:
        return workspace
    return _to_status(
        workspace, Status.HIBERNATING, fact.reason, fact.at, former_status=workspace.status, wake_wanted=False
    )


def _after_idle_check_begun(workspace: Workspace, fact: IdleCheckBegun) -> Workspace:
    is_possible = workspace.status in ONLINE_STATUSES and workspace.hibernates_when_idle
    if not is_possible or workspace.idle_check_at is not None:
        return workspace
    return replace(workspace, idle_check_at=fact.at)


def _after_idle_check_ended(workspace: Workspace, fact: IdleCheckEnded) -> Workspace:
    if workspace.idle_check_at is None:
        return workspace
    worked_at = fact.worked_at or workspace.vitals.worked_at
    return replace(workspace, idle_check_at=None, vitals=replace(workspace.vitals, worked_at=worked_at))


def _after_instance_stopped(workspace: Workspace, fact: InstanceStopped) -> Workspace:
    if workspace.status is not Status.HIBERNATING:
        return workspace
    cleared = _NO_ADDRESS | {"former_status": None}
    return _to_status(workspace, Status.HIBERNATED, workspace.status_reason, fact.at, **cleared)


def _after_stop_failed(workspace: Workspace, fact: StopFailed) -> Workspace:
    if workspace.status is not Status.HIBERNATING:
        return workspace
    back = workspace.former_status or Status.ONLINE
    return _to_status(workspace, back, Reason.HIBERNATE_FAILED, fact.at, former_status=None, wake_wanted=False)


def _after_pause_requested(workspace: Workspace, fact: PauseRequested) -> Workspace:
    if workspace.status is Status.PAUSED:
        return workspace
    cleared = _NO_ADDRESS | {"former_status": None, "wake_wanted": False}
    return _to_status(workspace, Status.PAUSED, Reason.PAUSE_REQUESTED, fact.at, **cleared)


def _after_resume_requested(workspace: Workspace, fact: ResumeRequested) -> Workspace:
    if workspace.status is not Status.PAUSED:
        return workspace
    if workspace.external:
        return _to_status(workspace, Status.AWAITING_AGENT, Reason.RESUME_REQUESTED, fact.at)
    return _to_new_generation(workspace, Reason.RESUME_REQUESTED, fact.at, fact.limit)


def _to_failed(
    workspace: Workspace, reason: Reason, error: str, at: datetime, missing: Sequence[str] = ()
) -> Workspace:
    if workspace.status is not Status.PROVISIONING:
        return workspace
    detail = describe_failure(reason, error, missing)
    if reason is Reason.PROVISION_TIMEOUT:
        detail = describe_restarts(reason, workspace.restart_count, workspace.last_exit_code)
    seen = replace(workspace.vitals, sample_error=error)
    return _to_status(workspace, Status.FAILED, reason, at, status_detail=detail, vitals=seen)


def _after_provisioning_timed_out(workspace: Workspace, fact: ProvisioningTimedOut) -> Workspace:
    if workspace.provision_deadline is None or fact.at < workspace.provision_deadline:
        return workspace
    return _to_failed(workspace, Reason.PROVISION_TIMEOUT, PROVISION_TIMEOUT_TEXT, fact.at)


def _after_cancelled(workspace: Workspace, fact: ProvisioningCancelled) -> Workspace:
    """End a start. The address is cleared, because the instance is stopped."""
    if workspace.status is not Status.PROVISIONING:
        return workspace
    failed = _to_failed(workspace, Reason.PROVISION_CANCELLED, PROVISION_CANCELLED_TEXT, fact.at)
    return replace(failed, status_detail=STATUS_DETAILS[Reason.PROVISION_CANCELLED], **_NO_ADDRESS)


def _after_restart_requested(workspace: Workspace, fact: RestartRequested) -> Workspace:
    if workspace.external:
        return workspace
    may_restart_itself = workspace.status in AUTO_RESTART_STATUSES and not workspace.is_cancelled
    if fact.reason is Reason.AUTO_RESTART and not may_restart_itself:
        return workspace
    if workspace.status is Status.HIBERNATING:
        return workspace if workspace.wake_wanted else replace(workspace, wake_wanted=True)
    reason = Reason.WAKE if workspace.status is Status.HIBERNATED else fact.reason
    return _to_new_generation(workspace, reason, fact.at, fact.limit)


def _to_new_generation(workspace: Workspace, reason: Reason, at: datetime, limit: timedelta) -> Workspace:
    """Request a new instance: the next generation, in status provisioning. A caller's request ends the count."""
    restart_count = workspace.restart_count if reason is Reason.AUTO_RESTART else 0
    return replace(
        workspace,
        status=Status.PROVISIONING,
        status_reason=reason,
        status_detail=describe_restarts(reason, restart_count, workspace.last_exit_code),
        restart_count=restart_count,
        status_since=at,
        generation=workspace.generation + 1,
        provision_deadline=at + limit,
        instance_reference="",
        wake_wanted=False,
        idle_check_at=None,
        **_NO_ADDRESS,
    )


def _after_removed(workspace: Workspace, fact: Removed) -> Workspace:
    """Where nothing runs there is nothing to stop, so `stopped_at` is set at once."""
    never_had_one = workspace.external or workspace.generation == 0 or workspace.backend == NO_BACKEND
    has_no_instance = never_had_one or workspace.status is Status.HIBERNATED
    return _to_status(
        workspace,
        Status.REMOVED,
        workspace.removal_reason,
        fact.at,
        removed_at=fact.at,
        stopped_at=fact.at if has_no_instance else None,
    )


def _after_fact_of_removed(workspace: Workspace, fact: Fact) -> Workspace:
    """Only the result of stopping its instance still changes a removed workspace."""
    if workspace.stopped_at is not None:
        return workspace
    match fact:
        case InstanceStopped():
            return replace(workspace, stopped_at=fact.at, stop_error="")
        case StopFailed() if fact.text != workspace.stop_error:
            return replace(workspace, stop_error=fact.text)
        case _:
            return workspace


def _to_status(
    workspace: Workspace,
    status: Status,
    reason: Reason,
    at: datetime,
    **changes: Any,  # noqa: ANN401 - fields of the workspace
) -> Workspace:
    """Return the workspace with a status and reason; the same object if it has both already."""
    if (workspace.status, workspace.status_reason) == (status, reason):
        return workspace
    changes.setdefault("status_detail", STATUS_DETAILS[reason])
    if status in ONLINE_STATUSES and workspace.status not in ONLINE_STATUSES:
        changes["vitals"] = replace(changes.get("vitals", workspace.vitals), worked_at=at)
    return replace(
        workspace,
        status=status,
        status_reason=reason,
        status_since=at if status is not workspace.status else workspace.status_since,
        provision_deadline=None,
        idle_check_at=None,
        **changes,
    )


_NO_ADDRESS: dict[str, Any] = {"url": "", "backend_address": ""}
"""Fields of a workspace without an instance."""
