import ast
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.registry.workspace import events
from services.registry.workspace.facts import (
    BootstrapFailed,
    ExternalCreated,
    HeartbeatMissed,
    HeartbeatReceived,
    HibernateRequested,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    PauseRequested,
    ProvisioningFailed,
    ProvisioningTimedOut,
    Registered,
    Removed,
    RestartRequested,
    ResumeRequested,
    StopFailed,
    UpstreamDead,
    is_outdated,
)
from services.registry.workspace.health import apply_heartbeat, find_vitals_only_update
from services.registry.workspace.model import Declarations, Reason, Status, Vitals, Workspace
from services.registry.workspace.state_machine import next_state
from services.registry.workspace.status_texts import STATUS_DETAILS
from tests.registry.strategies import (
    ALWAYS_HEARING,
    FACTS_BY_TYPE,
    NOW,
    TIMEOUTS,
    facts,
    with_current_generation,
    workspaces,
)

P, ON, DEG, OFF, WAIT = Status.PROVISIONING, Status.ONLINE, Status.DEGRADED, Status.OFFLINE, Status.AWAITING_AGENT
PAUSED, GOING, GONE, FAILED, REMOVED = (
    Status.PAUSED,
    Status.HIBERNATING,
    Status.HIBERNATED,
    Status.FAILED,
    Status.REMOVED,
)

TABLE = {
    P: {P, ON, DEG, WAIT, FAILED, PAUSED, REMOVED},
    ON: {ON, DEG, OFF, WAIT, P, PAUSED, GOING, REMOVED},
    DEG: {ON, OFF, WAIT, P, PAUSED, GOING, REMOVED},
    OFF: {ON, DEG, P, PAUSED, REMOVED},
    WAIT: {ON, DEG, P, PAUSED, REMOVED},
    PAUSED: {P, WAIT, REMOVED},
    GOING: {GONE, ON, DEG, PAUSED, REMOVED},
    GONE: {P, PAUSED, REMOVED},
    FAILED: {ON, OFF, P, PAUSED, REMOVED},
    REMOVED: set(),
}
"""docs/spec/rest.md, section 7: where each status can go by the facts that there are."""


def workspace(status=ON, **fields):
    values = {
        "id": "w",
        "org_id": "w",
        "name": "ada",
        "runtime": "echo",
        "status_reason": Reason.REGISTERED,
        "status_since": NOW - timedelta(hours=1),
        "created_at": NOW - timedelta(hours=2),
        "generation": 1,
        "backend": "process",
        "vitals": Vitals(last_seen=NOW),
    }
    return Workspace(**values | {"status": status} | fields)


def build_heartbeat(**fields):
    return HeartbeatReceived(**{"at": NOW} | fields)


def after_heartbeat(before, **fields):
    heartbeat = build_heartbeat(**fields)
    return next_state(apply_heartbeat(before, heartbeat), heartbeat)


LONG = NOW - timedelta(hours=1)
RESTART = RestartRequested(at=NOW, generation=1, reason=Reason.RESTART_REQUESTED, limit=timedelta(minutes=10))
AGAIN = replace(RESTART, reason=Reason.AUTO_RESTART)
RESUME = ResumeRequested(at=NOW, limit=timedelta(minutes=10))
SLEEP = HibernateRequested(at=NOW, reason=Reason.HIBERNATE_REQUESTED)
SILENCE = HeartbeatMissed(at=NOW, timeouts=TIMEOUTS, hearing=ALWAYS_HEARING)
quiet = Vitals(last_seen=LONG)
remote = {"runtime": "external", "backend": "", "generation": 0}
came = {**remote, "registered_at": LONG}

EXAMPLES = [
    (workspace(P), Registered(at=NOW), ON, Reason.REGISTERED),
    (workspace(ON, status_reason=Reason.HEARTBEAT), Registered(at=NOW), ON, Reason.REGISTERED),
    (workspace(DEG), Registered(at=NOW), ON, Reason.REGISTERED),
    (workspace(OFF), Registered(at=NOW), ON, Reason.REGISTERED),
    (workspace(WAIT, **remote), Registered(at=NOW), ON, Reason.REGISTERED),
    (workspace(FAILED), Registered(at=NOW), ON, Reason.REGISTERED),
    (workspace(P, **remote, url=""), ExternalCreated(at=NOW), WAIT, Reason.EXTERNAL_CREATED),
    (workspace(P, **remote, url="http://ada.example"), ExternalCreated(at=NOW), ON, Reason.EXTERNAL_CREATED),
    (workspace(P), build_heartbeat(), ON, Reason.HEARTBEAT),
    (workspace(OFF), build_heartbeat(), ON, Reason.HEARTBEAT),
    (workspace(WAIT, **came), build_heartbeat(), ON, Reason.HEARTBEAT),
    (workspace(P), build_heartbeat(error_rate=0.5), DEG, Reason.ERROR_RATE),
    (workspace(P), build_heartbeat(wedged=True), DEG, Reason.WEDGED),
    (workspace(OFF), build_heartbeat(error_rate=1.0), DEG, Reason.ERROR_RATE),
    (workspace(WAIT, **came), build_heartbeat(wedged=True), DEG, Reason.WEDGED),
    (workspace(ON), build_heartbeat(wedged=True), DEG, Reason.WEDGED),
    (workspace(ON), build_heartbeat(error_rate=0.5), DEG, Reason.ERROR_RATE),
    (workspace(ON, register_failed_at=NOW), build_heartbeat(), DEG, Reason.REGISTER_FAILED),
    (workspace(DEG), build_heartbeat(error_rate=0.09), ON, Reason.RECOVERED),
    (workspace(ON, vitals=quiet), SILENCE, OFF, Reason.LIVENESS_TIMEOUT),
    (workspace(DEG, vitals=quiet), SILENCE, OFF, Reason.LIVENESS_TIMEOUT),
    (workspace(ON, vitals=quiet, **remote), SILENCE, WAIT, Reason.AGENT_STALE),
    (workspace(DEG, vitals=quiet, **remote), SILENCE, WAIT, Reason.AGENT_STALE),
    (workspace(ON), InstanceExited(at=NOW), OFF, Reason.CONTAINER_NOT_RUNNING),
    (workspace(DEG), InstanceExited(at=NOW), OFF, Reason.CONTAINER_NOT_RUNNING),
    (workspace(ON), UpstreamDead(at=NOW), OFF, Reason.UPSTREAM_DEAD),
    (workspace(DEG), UpstreamDead(at=NOW), OFF, Reason.UPSTREAM_DEAD),
    (workspace(FAILED), UpstreamDead(at=NOW), OFF, Reason.UPSTREAM_DEAD),
    (workspace(P, provision_deadline=NOW), ProvisioningTimedOut(at=NOW), FAILED, Reason.PROVISION_TIMEOUT),
    (workspace(P), ProvisioningFailed(at=NOW, error="no image for runtime"), FAILED, Reason.PROVISION_ERROR),
    *[(workspace(status), RESTART, P, Reason.RESTART_REQUESTED) for status in (P, ON, DEG, OFF, WAIT, PAUSED, FAILED)],
    *[(workspace(status), AGAIN, P, Reason.AUTO_RESTART) for status in (P, ON, DEG, OFF, FAILED)],
    (workspace(P), BootstrapFailed(at=NOW, error="no"), FAILED, Reason.BOOTSTRAP_FAILED),
    (workspace(GONE), RESTART, P, Reason.WAKE),
    *[
        (workspace(status), PauseRequested(at=NOW), PAUSED, Reason.PAUSE_REQUESTED)
        for status in Status
        if status not in {PAUSED, REMOVED}
    ],
    (workspace(PAUSED), RESUME, P, Reason.RESUME_REQUESTED),
    (workspace(PAUSED, **remote), RESUME, WAIT, Reason.RESUME_REQUESTED),
    *[(workspace(status), SLEEP, GOING, Reason.HIBERNATE_REQUESTED) for status in (ON, DEG)],
    (workspace(GOING, status_reason=Reason.REGISTERED), InstanceStopped(at=NOW), GONE, Reason.REGISTERED),
    (workspace(GOING, former_status=DEG), StopFailed(at=NOW, text="no"), DEG, Reason.HIBERNATE_FAILED),
    (workspace(GOING, former_status=ON), StopFailed(at=NOW, text="no"), ON, Reason.HIBERNATE_FAILED),
    *[(workspace(status), Removed(at=NOW), REMOVED, Reason.DELETED) for status in Status if status is not REMOVED],
]
"""Each row of the table: before, fact, status and reason after."""


# Laws ────────────────────────────────────────────────────────────────────────


def is_recognisable(fact):
    """Whether a repeated report is known to be one: a heartbeat is not, nor is an exit without a reference."""
    return not isinstance(fact, HeartbeatReceived) and not (isinstance(fact, InstanceExited) and not fact.reference)


@given(workspaces, facts.filter(is_recognisable))
def test_applying_a_fact_twice_equals_applying_it_once(before, fact):
    once = next_state(before, fact)

    assert next_state(once, fact) is once


@given(workspaces, FACTS_BY_TYPE[HeartbeatReceived])
def test_a_repeated_heartbeat_changes_nothing_if_no_register_was_refused(before, heartbeat):
    before = replace(before, register_failed_at=None)
    once = next_state(before, heartbeat)

    assert next_state(once, heartbeat) is once


@given(workspaces, FACTS_BY_TYPE[HeartbeatReceived])
def test_the_same_heartbeat_changes_nothing_after_the_second_time(before, heartbeat):
    twice = next_state(next_state(before, heartbeat), heartbeat)

    assert next_state(twice, heartbeat) is twice


@given(workspaces, FACTS_BY_TYPE[HeartbeatReceived])
def test_a_vitals_only_heartbeat_changes_vitals_and_nothing_else(before, heartbeat):
    assume(before.status is not Status.REMOVED and not is_outdated(heartbeat, before))

    now, vitals = next_state(apply_heartbeat(before, heartbeat), heartbeat), find_vitals_only_update(before, heartbeat)

    if vitals is not None:
        assert now == replace(before, vitals=vitals)
    elif now.status is before.status:
        assert now != replace(before, vitals=now.vitals)


@given(workspaces, st.sampled_from([kind for kind in FACTS_BY_TYPE if kind is not Removed]).flatmap(FACTS_BY_TYPE.get))
def test_a_fact_about_another_generation_changes_nothing(before, fact):
    before = before if before.status is not REMOVED else replace(before, status=ON)

    assert next_state(before, replace(fact, generation=before.generation - 1)) is before


@given(workspaces, facts)
def test_a_removed_workspace_keeps_its_status(before, fact):
    before = replace(before, status=REMOVED)

    assert next_state(before, fact).status is REMOVED


@given(workspaces, facts)
def test_an_unchanged_workspace_is_the_same_object(before, fact):
    now = next_state(before, fact)

    assert now is before or now != before


@pytest.mark.covers("BEY-13")
@given(workspaces, facts)
def test_every_change_of_status_has_a_reason_a_time_and_an_event(before, fact):
    now = next_state(before, with_current_generation(fact, before))

    if now.status is not before.status:
        assert now.status_since == fact.at
        assert now.status_detail
        [notice] = events.build_change_events(before, now, fact)
        assert notice.payload["status"] == now.status
        assert notice.payload["status_reason"] == now.status_reason
    elif now.generation == before.generation:
        assert events.build_change_events(before, now, fact) == ()


@given(workspaces, facts)
def test_only_a_restart_or_resume_raises_the_generation(before, fact):
    raised = next_state(before, fact).generation - before.generation

    assert raised == 0 or (raised == 1 and isinstance(fact, RestartRequested | ResumeRequested))


@given(workspaces, facts)
def test_the_plane_never_starts_external_agents(before, fact):
    before = replace(before, runtime="external")

    assert next_state(before, fact).generation == before.generation


@given(workspaces, facts)
def test_only_a_provisioning_workspace_has_a_deadline(before, fact):
    now = next_state(before, fact)

    if now.status is not before.status and now.status is not P:
        assert now.provision_deadline is None


# The table ───────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-36")
@pytest.mark.parametrize(("before", "fact", "to", "reason"), EXAMPLES)
def test_each_row_of_the_table_leads_to_its_status(before, fact, to, reason):
    now = next_state(before, fact)

    assert (now.status, now.status_reason) == (to, reason)


@pytest.mark.covers("REG-36")
@given(workspaces, facts)
def test_no_fact_leads_to_a_status_that_the_table_does_not_list(before, fact):
    now = next_state(before, with_current_generation(fact, before))

    if (now.status, now.generation) != (before.status, before.generation):
        assert now.status in TABLE[before.status]


def test_the_rows_make_up_the_whole_table():
    reached = {status: {to for before, _, to, _ in EXAMPLES if before.status is status} for status in Status}

    assert reached == TABLE


# What the table does not say ──────────────────────────────────────────────────


@pytest.mark.covers("REG-28")
def test_an_agent_is_degraded_from_an_error_rate_of_one_half():
    assert after_heartbeat(workspace(), error_rate=0.49).status is ON
    assert after_heartbeat(workspace(), error_rate=0.5).status is DEG


@pytest.mark.covers("REG-29")
@pytest.mark.parametrize(
    ("fields", "failed_ago", "status"),
    [
        ({"error_rate": 0.1}, None, DEG),
        ({"error_rate": 0.09}, None, ON),
        ({"wedged": True}, None, DEG),
        ({}, timedelta(minutes=4, seconds=59), DEG),
        ({}, timedelta(minutes=5, seconds=1), ON),
    ],
)
def test_an_agent_recovers_without_errors_or_a_recent_refused_register(fields, failed_ago, status):
    failed_at = None if failed_ago is None else NOW - failed_ago

    assert after_heartbeat(workspace(DEG, register_failed_at=failed_at), **fields).status is status


@pytest.mark.covers("REG-30")
def test_a_wedged_agent_is_degraded_at_any_error_rate():
    assert after_heartbeat(workspace(), wedged=True, error_rate=0.0).status_reason is Reason.WEDGED


@pytest.mark.covers("REG-31")
def test_a_refused_register_counts_for_five_minutes():
    assert after_heartbeat(workspace(register_failed_at=NOW - timedelta(minutes=1))).status is DEG
    assert after_heartbeat(workspace(register_failed_at=NOW - timedelta(minutes=6))).status is ON


@pytest.mark.covers("REG-33")
def test_an_agent_that_manages_its_status_is_not_judged_by_its_error_rate():
    own = Declarations(frozenset({"status_mgmt"}))

    assert after_heartbeat(workspace(declarations=own), error_rate=0.8).status is ON
    assert after_heartbeat(workspace(DEG, declarations=own), error_rate=0.05).status is DEG
    assert after_heartbeat(workspace(declarations=own), wedged=True).status is DEG


@pytest.mark.covers("REG-27")
def test_a_card_clears_a_refused_register_before_the_status_is_judged():
    before = workspace(DEG, has_card=True, register_failed_at=NOW - timedelta(minutes=2))

    assert after_heartbeat(before).status is DEG
    assert after_heartbeat(before, card=b"{}").status is ON


@pytest.mark.covers("REG-41", "REG-44")
def test_absent_declarations_change_nothing_and_empty_ones_clear_all():
    declared = workspace(declarations=Declarations(frozenset({"scheduler"}), timedelta(seconds=60)))

    assert after_heartbeat(declared).declarations == declared.declarations
    assert after_heartbeat(declared, declarations=Declarations()).declarations == Declarations()


@pytest.mark.covers("REG-37", "REG-38")
@pytest.mark.parametrize(
    ("runtime", "seconds", "status"),
    [("echo", 179, ON), ("echo", 180, OFF), ("external", 89, ON), ("external", 91, WAIT), ("echo", 91, ON)],
)
def test_the_heartbeat_timeout_depends_on_the_runtime(runtime, seconds, status):
    heard_last = Vitals(last_seen=NOW - timedelta(seconds=seconds))

    assert next_state(workspace(runtime=runtime, vitals=heard_last), SILENCE).status is status


@pytest.mark.parametrize("status", [status for status in Status if status not in {ON, DEG}])
def test_a_missed_heartbeat_counts_only_in_online_statuses(status):
    before = workspace(status, vitals=quiet)

    assert next_state(before, SILENCE) is before


@pytest.mark.parametrize("status", [WAIT, PAUSED, GOING, GONE, FAILED])
def test_a_heartbeat_does_not_revive_a_stopped_or_failed_workspace(status):
    before = workspace(status)
    now = after_heartbeat(before, active_tasks=3)

    assert now.status is status
    assert now.vitals.active_tasks == 3


def test_an_exit_during_provisioning_changes_no_status():
    before = workspace(P)
    now = next_state(before, InstanceExited(at=NOW))

    assert (now.status, now.status_reason, now.generation) == (P, before.status_reason, before.generation)


def test_a_workspace_without_a_backend_has_no_deadline():
    waiting = next_state(
        workspace(P, backend="", provision_deadline=NOW), InstanceSkipped(at=NOW, generation=1, backend="none")
    )

    assert waiting.provision_deadline is None
    assert next_state(waiting, ProvisioningTimedOut(at=NOW + timedelta(days=9))) is waiting


def test_the_reference_of_an_instance_is_stored_and_a_restart_clears_its_address():
    started = InstanceStarted(at=NOW, generation=1, backend="process", address="http://127.0.0.1:5", reference="r")
    now = next_state(workspace(P, url="http://127.0.0.1:5"), started)
    again = next_state(now, RESTART)

    assert (now.backend, now.backend_address, now.instance_reference) == ("process", "http://127.0.0.1:5", "r")
    assert (again.url, again.backend_address, again.instance_reference) == ("", "", "")
    assert (again.generation, again.provision_deadline) == (2, NOW + timedelta(minutes=10))


@pytest.mark.covers("PROV-23", "PROV-47")
def test_a_failure_event_has_its_text_its_runtime_and_what_is_missing():
    fact = ProvisioningFailed(at=NOW, error="missing required environment", missing=("KEY",))
    before = workspace(P)
    now = next_state(before, fact)
    [notice] = events.build_change_events(before, now, fact)

    assert now.vitals.sample_error == "missing required environment"
    assert {name: notice.payload[name] for name in ("error", "missing", "runtime")} == {
        "error": "missing required environment",
        "missing": ["KEY"],
        "runtime": "echo",
    }


@pytest.mark.covers("REG-65")
def test_a_removed_workspace_stores_whether_its_instance_stopped():
    removed = next_state(workspace(), Removed(at=NOW))
    stuck = next_state(removed, StopFailed(at=NOW, generation=1, text="device busy"))
    stopped = next_state(stuck, InstanceStopped(at=NOW, generation=1))

    assert (removed.stopped_at, stuck.stop_error) == (None, "device busy")
    assert (stopped.stopped_at, stopped.stop_error) == (NOW, "")


@pytest.mark.parametrize("fields", [remote, {"backend": "none"}, {"generation": 0}])
def test_a_workspace_without_an_instance_is_stopped_at_once(fields):
    assert next_state(workspace(**fields), Removed(at=NOW)).stopped_at == NOW


def test_every_reason_has_a_detail_text():
    assert set(STATUS_DETAILS) == set(Reason)


@pytest.mark.covers("BEY-13")
def test_one_module_writes_statuses():
    source = Path(__file__).parents[3] / "services" / "registry"
    writers = {
        path.name
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in {"replace", "values"}
        and any(keyword.arg == "status" for keyword in node.keywords)
    }

    assert writers == {"state_machine.py"}


# Hibernation, and what a change clears ────────────────────────────────────────


def test_a_restart_wakes_a_hibernating_workspace_once_it_is_hibernated():
    hibernating = next_state(workspace(wake_wanted=True), SLEEP)
    wanted = next_state(hibernating, RESTART)

    assert (hibernating.wake_wanted, hibernating.former_status) == (False, ON)
    assert wanted == replace(hibernating, wake_wanted=True)
    assert next_state(wanted, RESTART) is wanted


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        (StopFailed(at=NOW, text="no"), DEG),
        (PauseRequested(at=NOW), PAUSED),
    ],
)
def test_a_hibernation_that_does_not_happen_forgets_the_wake(fact, status):
    now = next_state(workspace(GOING, former_status=DEG, wake_wanted=True), fact)

    assert (now.status, now.former_status, now.wake_wanted) == (status, None, False)


def test_a_hibernating_workspace_keeps_its_address_until_its_instance_stopped():
    address = {"url": "http://ada.example", "backend_address": "http://127.0.0.1:5"}
    hibernating = next_state(workspace(**address), SLEEP)
    hibernated = next_state(hibernating, InstanceStopped(at=NOW))

    assert (hibernating.url, hibernating.backend_address) == tuple(address.values())
    assert (hibernated.url, hibernated.backend_address, hibernated.former_status) == ("", "", None)


def test_a_new_generation_begins_without_address_reference_and_wake():
    before = workspace(GONE, url="http://ada.example", backend_address="b", instance_reference="r", wake_wanted=True)

    assert next_state(before, RESTART) == replace(
        before,
        status=P,
        status_reason=Reason.WAKE,
        status_detail=STATUS_DETAILS[Reason.WAKE],
        status_since=NOW,
        generation=2,
        provision_deadline=NOW + timedelta(minutes=10),
        url="",
        backend_address="",
        instance_reference="",
        wake_wanted=False,
    )


def test_a_skipped_instance_has_no_address_and_no_reference():
    before = workspace(P, backend_address="b", instance_reference="r", provision_deadline=NOW)
    skipped = InstanceSkipped(at=NOW, generation=1, backend="none")
    now = next_state(before, skipped)

    assert now == replace(before, backend="none", backend_address="", instance_reference="", provision_deadline=None)
    assert next_state(now, skipped) is now


def test_a_repeated_stop_error_of_a_removed_workspace_changes_nothing():
    removed = workspace(REMOVED, stopped_at=None, stop_error="busy")

    assert next_state(removed, StopFailed(at=NOW, text="busy")) is removed
    assert next_state(removed, StopFailed(at=NOW, text="gone")) == replace(removed, stop_error="gone")


@pytest.mark.covers("DWN-07")
@pytest.mark.parametrize("status", [status for status in Status if status is not REMOVED])
def test_only_a_hibernated_workspace_is_known_to_have_no_instance_when_it_is_removed(status):
    removed = next_state(workspace(status, generation=1, backend="process"), Removed(at=NOW))

    assert (removed.stopped_at is not None) is (status is Status.HIBERNATED)
