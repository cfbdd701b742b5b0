"""How an agent feels: what a heartbeat says of it, and what that means."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.registry.workspace.facts import HeartbeatReceived, is_outdated
from services.registry.workspace.model import Reason, Status, Vitals, Workspace

DEGRADED_ERROR_RATE = 0.5
"""Error rate from which an agent is degraded."""

RECOVERED_ERROR_RATE = 0.1
"""Error rate below which it is online again. The gap between the two stops flapping."""

REGISTER_FAILURE_LIFETIME = timedelta(minutes=5)
"""How long a failed register counts against an agent."""

STATUS_MGMT = "status_mgmt"
"""The capability of agents that judge their own error rate."""

StatusChange = tuple[Status, Reason] | None
"""The status that a heartbeat brings, and why; nothing where it leaves things as they are."""


def apply_heartbeat(workspace: Workspace, pulse: HeartbeatReceived) -> Workspace:
    """The workspace with what a heartbeat says of its agent; its status is judged apart.

    A card ends the memory of a failed register: whoever can show one has been let in since. Old news
    and news of a removed workspace change nothing.
    """
    if workspace.status is Status.REMOVED or is_outdated(pulse, workspace):
        return workspace
    return replace(
        workspace,
        has_card=workspace.has_card or pulse.card is not None,
        register_failed_at=None if pulse.card is not None else workspace.register_failed_at,
        declarations=workspace.declarations if pulse.declarations is None else pulse.declarations,
        vitals=_build_vitals(workspace, pulse),
    )


def find_vitals_only_update(workspace: Workspace, pulse: HeartbeatReceived) -> Vitals | None:
    """How the agent feels after a heartbeat of this generation that changes nothing besides; `None` if more changes.

    Nearly every heartbeat is one, and is told apart without making another workspace of it.
    """
    card_is_news = pulse.card is not None and (not workspace.has_card or workspace.register_failed_at is not None)
    declares_anew = pulse.declarations is not None and pulse.declarations != workspace.declarations
    if card_is_news or declares_anew or judge_heartbeat(workspace, pulse) is not None:
        return None
    return _build_vitals(workspace, pulse)


def judge_heartbeat(workspace: Workspace, pulse: HeartbeatReceived) -> StatusChange:
    """One heartbeat, judged against the status at its start; the first match wins."""
    match workspace.status:
        case Status.ONLINE:
            return _judge_online(workspace, pulse)
        case Status.DEGRADED if _has_recovered(workspace, pulse):
            return Status.ONLINE, Reason.RECOVERED
        case Status.OFFLINE | Status.PROVISIONING:
            return _judge_arrival(workspace, pulse)
        case Status.AWAITING_AGENT if workspace.registered_at is not None:
            return _judge_arrival(workspace, pulse)
        case _:
            return None


def _build_vitals(workspace: Workspace, pulse: HeartbeatReceived) -> Vitals:
    return Vitals(
        last_seen=pulse.at,
        error_rate=pulse.error_rate,
        sample_error=pulse.sample_error,
        current_task=pulse.current_task,
        active_tasks=pulse.active_tasks,
        uptime_seconds=pulse.uptime_seconds,
        monthly_spend=pulse.monthly_spend or workspace.vitals.monthly_spend,
    )


def _judge_arrival(workspace: Workspace, pulse: HeartbeatReceived) -> StatusChange:
    """An agent that comes up sick is degraded at once: nobody is told that it is well in between."""
    sickness = _find_degradation(workspace, pulse)
    return (Status.ONLINE, Reason.HEARTBEAT) if sickness is None else (Status.DEGRADED, sickness)


def _judge_online(workspace: Workspace, pulse: HeartbeatReceived) -> StatusChange:
    sickness = _find_degradation(workspace, pulse)
    if sickness is not None:
        return Status.DEGRADED, sickness
    if _has_register_failed_lately(workspace, pulse.at):
        return Status.DEGRADED, Reason.REGISTER_FAILED
    if workspace.status_reason is Reason.EXTERNAL_CREATED:
        return Status.ONLINE, Reason.HEARTBEAT
    return None


def _find_degradation(workspace: Workspace, pulse: HeartbeatReceived) -> Reason | None:
    if pulse.wedged:
        return Reason.WEDGED
    if pulse.error_rate >= DEGRADED_ERROR_RATE and STATUS_MGMT not in workspace.declarations.capabilities:
        return Reason.ERROR_RATE
    return None


def _has_recovered(workspace: Workspace, pulse: HeartbeatReceived) -> bool:
    return (
        pulse.error_rate < RECOVERED_ERROR_RATE
        and not pulse.wedged
        and not _has_register_failed_lately(workspace, pulse.at)
        and STATUS_MGMT not in workspace.declarations.capabilities
    )


def _has_register_failed_lately(workspace: Workspace, now: datetime) -> bool:
    return workspace.register_failed_at is not None and now - workspace.register_failed_at < REGISTER_FAILURE_LIFETIME
