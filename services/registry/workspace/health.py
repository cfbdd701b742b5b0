"""Decides what a heartbeat changes: the vitals of an agent, and the status of its workspace."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.chassis import strict_json
from services.registry.workspace.card_reading import apply_card, judge_without_keys
from services.registry.workspace.facts import HeartbeatReceived, is_outdated
from services.registry.workspace.model import Reason, Status, Vitals, Workspace

DEGRADED_ERROR_RATE = 0.5
"""Error rate from which an agent counts as degraded."""

RECOVERED_ERROR_RATE = 0.1
"""Error rate below which a degraded agent is online again; the gap to the other limit prevents flapping."""

REGISTER_FAILURE_LIFETIME = timedelta(minutes=5)
"""How long a refused register call counts against an agent."""

ACTIVE_TASKS_LIFETIME = timedelta(minutes=10)
"""How long the active tasks of a silent agent count; an agent may declare that it is silent for longer."""

STATUS_MGMT = "status_mgmt"
"""The capability of agents that judge their own error rate."""

StatusChange = tuple[Status, Reason] | None
"""The new status and its reason; `None` for no change."""


def apply_heartbeat(workspace: Workspace, heartbeat: HeartbeatReceived) -> Workspace:
    """Return the workspace with the vitals, declarations and card of a heartbeat; the status is judged separately.

    A heartbeat with a card clears a failed register call. An outdated heartbeat, and one of a removed workspace,
    changes nothing: the same object is returned.
    """
    if workspace.status is Status.REMOVED or is_outdated(heartbeat, workspace):
        return workspace
    is_first_card = heartbeat.card is not None and not workspace.has_card
    return replace(
        _apply_first_card(workspace, heartbeat.card) if is_first_card else workspace,
        register_failed_at=None if heartbeat.card is not None else workspace.register_failed_at,
        declarations=workspace.declarations if heartbeat.declarations is None else heartbeat.declarations,
        vitals=_build_vitals(workspace, heartbeat),
    )


def find_vitals_only_update(workspace: Workspace, heartbeat: HeartbeatReceived) -> Vitals | None:
    """Return the new vitals if a heartbeat of the current generation changes nothing else; otherwise `None`.

    Nearly every heartbeat changes only vitals, so this avoids building another `Workspace` for it.
    """
    is_card_new = heartbeat.card is not None and (not workspace.has_card or workspace.register_failed_at is not None)
    are_declarations_new = heartbeat.declarations is not None and heartbeat.declarations != workspace.declarations
    if is_card_new or are_declarations_new or judge_heartbeat(workspace, heartbeat) is not None:
        return None
    return _build_vitals(workspace, heartbeat)


def forget_old_tasks(workspace: Workspace, now: datetime) -> Workspace:
    """Return the workspace without active tasks if its agent has been silent for too long to have any."""
    vitals = workspace.vitals
    lifetime = max(ACTIVE_TASKS_LIFETIME, workspace.declarations.idle_timeout or ACTIVE_TASKS_LIFETIME)
    if not vitals.active_tasks or (vitals.last_seen is not None and now - vitals.last_seen < lifetime):
        return workspace
    return replace(workspace, vitals=replace(vitals, active_tasks=0, current_task=""))


def judge_heartbeat(workspace: Workspace, heartbeat: HeartbeatReceived) -> StatusChange:
    """Return the status change that a heartbeat causes; the first matching rule wins."""
    match workspace.status:
        case Status.ONLINE:
            return _judge_online(workspace, heartbeat)
        case Status.DEGRADED if _has_recovered(workspace, heartbeat):
            return Status.ONLINE, Reason.RECOVERED
        case Status.OFFLINE | Status.PROVISIONING:
            return _judge_arrival(workspace, heartbeat)
        case Status.AWAITING_AGENT if workspace.registered_at is not None:
            return _judge_arrival(workspace, heartbeat)
        case _:
            return None


def _apply_first_card(workspace: Workspace, card: bytes | None) -> Workspace:
    try:
        parsed = strict_json.parse(card or b"")
    except strict_json.InvalidJson:
        parsed = None
    return apply_card(workspace, parsed, judge_without_keys(parsed))


def _build_vitals(workspace: Workspace, heartbeat: HeartbeatReceived) -> Vitals:
    return Vitals(
        last_seen=heartbeat.at,
        error_rate=heartbeat.error_rate,
        sample_error=heartbeat.sample_error,
        current_task=heartbeat.current_task,
        active_tasks=heartbeat.active_tasks,
        uptime_seconds=heartbeat.uptime_seconds,
        monthly_spend=heartbeat.monthly_spend or workspace.vitals.monthly_spend,
        worked_at=_find_last_work(workspace.vitals, heartbeat),
    )


def _find_last_work(before: Vitals, heartbeat: HeartbeatReceived) -> datetime | None:
    """Return until when the agent had active tasks, as far as it is known: they may have ended just now."""
    return heartbeat.at if heartbeat.active_tasks or before.active_tasks else before.worked_at


def _judge_arrival(workspace: Workspace, heartbeat: HeartbeatReceived) -> StatusChange:
    """A starting agent that reports errors becomes degraded at once, without an online event in between."""
    degradation = _find_degradation(workspace, heartbeat)
    return (Status.ONLINE, Reason.HEARTBEAT) if degradation is None else (Status.DEGRADED, degradation)


def _judge_online(workspace: Workspace, heartbeat: HeartbeatReceived) -> StatusChange:
    degradation = _find_degradation(workspace, heartbeat)
    if degradation is not None:
        return Status.DEGRADED, degradation
    if _has_register_failed_lately(workspace, heartbeat.at):
        return Status.DEGRADED, Reason.REGISTER_FAILED
    if workspace.status_reason is Reason.EXTERNAL_CREATED:
        return Status.ONLINE, Reason.HEARTBEAT
    return None


def _find_degradation(workspace: Workspace, heartbeat: HeartbeatReceived) -> Reason | None:
    if heartbeat.wedged:
        return Reason.WEDGED
    if heartbeat.error_rate >= DEGRADED_ERROR_RATE and STATUS_MGMT not in workspace.declarations.capabilities:
        return Reason.ERROR_RATE
    return None


def _has_recovered(workspace: Workspace, heartbeat: HeartbeatReceived) -> bool:
    return (
        heartbeat.error_rate < RECOVERED_ERROR_RATE
        and not heartbeat.wedged
        and not _has_register_failed_lately(workspace, heartbeat.at)
        and STATUS_MGMT not in workspace.declarations.capabilities
    )


def _has_register_failed_lately(workspace: Workspace, now: datetime) -> bool:
    return workspace.register_failed_at is not None and now - workspace.register_failed_at < REGISTER_FAILURE_LIFETIME
