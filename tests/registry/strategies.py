"""Hypothesis strategies for workspaces and facts."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from services.registry.workspace.facts import (
    BootstrapFailed,
    ExternalCreated,
    HeartbeatMissed,
    HeartbeatReceived,
    HibernateRequested,
    IdleCheckBegun,
    IdleCheckEnded,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    LivenessTimeouts,
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
)
from services.registry.workspace.hearing import Hearing
from services.registry.workspace.model import Declarations, Reason, Status, Vitals, Workspace, WorkspaceId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUTS = LivenessTimeouts(managed=timedelta(seconds=180), external=timedelta(seconds=90))
ALWAYS_HEARING = Hearing(since=datetime(2000, 1, 1, tzinfo=UTC), until=datetime(9000, 1, 1, tzinfo=UTC))
"""The record of a plane that could hear at every time of a test."""

moments = st.integers(0, 600).map(lambda seconds: NOW - timedelta(seconds=seconds))

workspaces = st.builds(
    Workspace,
    id=st.just(WorkspaceId("w")),
    org_id=st.just(WorkspaceId("w")),
    name=st.just("ada"),
    runtime=st.sampled_from(["echo", "external"]),
    status=st.sampled_from(Status),
    status_reason=st.sampled_from(Reason),
    status_since=moments,
    created_at=st.just(NOW - timedelta(hours=1)),
    former_status=st.sampled_from([None, Status.ONLINE, Status.DEGRADED]),
    wake_wanted=st.booleans(),
    generation=st.integers(1, 5),
    provision_deadline=st.none() | moments,
    backend=st.sampled_from(["", "none", "process"]),
    hibernation_idle_minutes=st.sampled_from([None, 0, 10]),
    idle_check_at=st.none() | moments,
    backend_address=st.sampled_from(["", "http://127.0.0.1:1"]),
    url=st.sampled_from(["", "http://ada.example"]),
    has_card=st.booleans(),
    registered_at=st.none() | moments,
    register_failed_at=st.none() | moments,
    declarations=st.sampled_from([Declarations(), Declarations(frozenset({"status_mgmt"}))]),
    vitals=st.builds(Vitals, last_seen=st.none() | moments),
    stopped_at=st.none() | moments,
    stop_error=st.sampled_from(["", "no"]),
)

generations = st.none() | st.integers(0, 6)
at = st.just(NOW)

FACTS_BY_TYPE = {
    ExternalCreated: st.builds(ExternalCreated, at=at, generation=generations),
    Registered: st.builds(Registered, at=at, generation=generations),
    HeartbeatReceived: st.builds(
        HeartbeatReceived,
        at=at,
        generation=generations,
        error_rate=st.sampled_from([0.0, 0.09, 0.1, 0.49, 0.5, 1.0]),
        wedged=st.booleans(),
        active_tasks=st.integers(0, 3),
        monthly_spend=st.integers(0, 3),
        declarations=st.none() | st.just(Declarations()),
        card=st.none() | st.just(b"{}"),
    ),
    HeartbeatMissed: st.builds(
        HeartbeatMissed,
        at=at,
        generation=generations,
        timeouts=st.just(TIMEOUTS),
        hearing=st.just(ALWAYS_HEARING),
    ),
    InstanceStarted: st.builds(
        InstanceStarted,
        at=at,
        generation=generations,
        backend=st.just("process"),
        address=st.just("http://127.0.0.1:2"),
        reference=st.just("r"),
    ),
    InstanceSkipped: st.builds(InstanceSkipped, at=at, generation=generations, backend=st.just("none")),
    InstanceExited: st.builds(InstanceExited, at=at, generation=generations),
    InstanceStopped: st.builds(InstanceStopped, at=at, generation=generations),
    StopFailed: st.builds(StopFailed, at=at, generation=generations, text=st.just("stuck")),
    ProvisioningFailed: st.builds(
        ProvisioningFailed, at=at, generation=generations, error=st.just("provisioning failed")
    ),
    ProvisioningPossible: st.builds(ProvisioningPossible, at=at, generation=generations),
    ProvisioningTimedOut: st.builds(ProvisioningTimedOut, at=at, generation=generations),
    ProvisioningCancelled: st.builds(ProvisioningCancelled, at=at, generation=generations),
    UpstreamDead: st.builds(UpstreamDead, at=at, generation=generations),
    RestartRequested: st.builds(
        RestartRequested,
        at=at,
        generation=st.integers(0, 6),
        reason=st.sampled_from([Reason.RESTART_REQUESTED, Reason.AUTO_RESTART]),
        limit=st.just(timedelta(minutes=10)),
    ),
    BootstrapFailed: st.builds(BootstrapFailed, at=at, generation=generations, error=st.just("no")),
    PauseRequested: st.builds(PauseRequested, at=at, generation=generations),
    ResumeRequested: st.builds(ResumeRequested, at=at, generation=generations, limit=st.just(timedelta(minutes=10))),
    HibernateRequested: st.builds(
        HibernateRequested,
        at=at,
        generation=generations,
        reason=st.sampled_from([Reason.HIBERNATE_REQUESTED, Reason.IDLE]),
    ),
    IdleCheckBegun: st.builds(IdleCheckBegun, at=at, generation=generations),
    IdleCheckEnded: st.builds(IdleCheckEnded, at=at, generation=generations, worked_at=st.none() | moments),
    Removed: st.builds(Removed, at=at, generation=st.none()),
}

facts = st.one_of(*FACTS_BY_TYPE.values())


def with_current_generation(fact, workspace):
    """The fact, about the current generation."""
    return replace(fact, generation=workspace.generation)


def build_fact(kind, at, generation):
    """A fact of this kind; its generation where the kind requires one."""
    values = {
        "timeouts": TIMEOUTS,
        "hearing": ALWAYS_HEARING,
        "backend": "process",
        "address": "http://127.0.0.1:2",
        "reference": "r",
        "text": "stuck",
        "error": "provisioning failed",
        "reason": Reason.IDLE if kind is HibernateRequested else Reason.RESTART_REQUESTED,
        "limit": timedelta(minutes=10),
    }
    if kind is RestartRequested:
        values["generation"] = generation
    return kind(at=at, **{field.name: values[field.name] for field in fields(kind) if field.name in values})
