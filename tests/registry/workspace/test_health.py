from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from services.registry.workspace import health
from services.registry.workspace.health import apply_heartbeat, find_vitals_only_update, judge_heartbeat
from services.registry.workspace.model import Declarations, Reason, Status, Vitals
from tests.registry.strategies import FACTS_BY_TYPE, NOW, workspaces
from tests.registry.workspace.test_state_machine import build_heartbeat, workspace

heartbeats = FACTS_BY_TYPE[health.HeartbeatReceived]
OWN_JUDGEMENT = Declarations(frozenset({"status_mgmt"}))


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (health.DEGRADED_ERROR_RATE, 0.5),
        (health.RECOVERED_ERROR_RATE, 0.1),
        (health.REGISTER_FAILURE_LIFETIME, timedelta(minutes=5)),
        (health.STATUS_MGMT, "status_mgmt"),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


# What a heartbeat stores ─────────────────────────────────────────────────────


@given(workspaces, heartbeats)
def test_only_a_heartbeat_of_the_current_generation_of_an_existing_workspace_is_applied(before, heartbeat):
    is_applied = before.status is not Status.REMOVED and heartbeat.generation in {None, before.generation}

    now = apply_heartbeat(before, heartbeat)

    assert (now is before) == (not is_applied)
    assert (now.status, now.status_reason, now.generation) == (before.status, before.status_reason, before.generation)


def test_every_reported_value_becomes_a_vital():
    reported = {
        "error_rate": 0.25,
        "sample_error": "late",
        "current_task": "cook",
        "active_tasks": 2,
        "uptime_seconds": 60,
        "monthly_spend": 7,
    }

    assert apply_heartbeat(workspace(), build_heartbeat(**reported)).vitals == Vitals(
        last_seen=NOW, worked_at=NOW, **reported
    )


@pytest.mark.covers("BEY-03")
@pytest.mark.parametrize(("before", "reported", "expected"), [(0, 0, None), (0, 1, NOW), (1, 1, NOW), (1, 0, NOW)])
def test_an_agent_worked_until_the_heartbeat_that_ends_its_tasks(before, reported, expected):
    now = apply_heartbeat(workspace(vitals=Vitals(active_tasks=before)), build_heartbeat(active_tasks=reported))

    assert now.vitals.worked_at == expected


def test_the_monthly_spend_is_kept_if_an_agent_reports_none():
    before = workspace(vitals=Vitals(monthly_spend=7))

    assert apply_heartbeat(before, build_heartbeat(monthly_spend=0)).vitals.monthly_spend == 7
    assert apply_heartbeat(before, build_heartbeat(monthly_spend=3)).vitals.monthly_spend == 3


@pytest.mark.parametrize(
    ("had_card", "card", "has_card", "register_failed_at"),
    [(False, None, False, NOW), (True, None, True, NOW), (False, b"{}", True, None), (True, b"{}", True, None)],
)
def test_a_card_is_noted_and_clears_a_refused_register(had_card, card, has_card, register_failed_at):
    now = apply_heartbeat(workspace(has_card=had_card, register_failed_at=NOW), build_heartbeat(card=card))

    assert (now.has_card, now.register_failed_at) == (has_card, register_failed_at)


@given(workspaces, heartbeats)
def test_an_update_of_vitals_only_exists_exactly_if_nothing_else_changes(before, heartbeat):
    before = replace(before, status=Status.PAUSED if before.status is Status.REMOVED else before.status)
    heartbeat = replace(heartbeat, generation=before.generation)

    now = apply_heartbeat(before, heartbeat)
    changes_vitals_only = now == replace(before, vitals=now.vitals) and judge_heartbeat(before, heartbeat) is None

    assert find_vitals_only_update(before, heartbeat) == (now.vitals if changes_vitals_only else None)


@pytest.mark.parametrize(
    ("fields", "reported", "is_vitals_only"),
    [
        ({}, {}, True),
        ({"has_card": False}, {"card": b"{}"}, False),
        ({"has_card": True}, {"card": b"{}"}, True),
        ({"has_card": True, "register_failed_at": NOW - timedelta(hours=1)}, {"card": b"{}"}, False),
        ({"register_failed_at": NOW - timedelta(hours=1)}, {}, True),
        ({"declarations": OWN_JUDGEMENT}, {}, True),
        ({"declarations": OWN_JUDGEMENT}, {"declarations": OWN_JUDGEMENT}, True),
        ({"declarations": OWN_JUDGEMENT}, {"declarations": Declarations()}, False),
        ({}, {"wedged": True}, False),
    ],
)
def test_a_new_card_new_declarations_or_a_status_change_is_more_than_vitals(fields, reported, is_vitals_only):
    assert (find_vitals_only_update(workspace(**fields), build_heartbeat(**reported)) is not None) is is_vitals_only


# What a heartbeat means for the status ───────────────────────────────────────


@given(workspaces, heartbeats)
def test_a_heartbeat_leads_to_online_or_degraded_only(before, heartbeat):
    change = judge_heartbeat(before, heartbeat)

    assert change is None or change[0] in {Status.ONLINE, Status.DEGRADED}


@pytest.mark.parametrize("status", [Status.OFFLINE, Status.PROVISIONING, Status.AWAITING_AGENT])
@pytest.mark.parametrize(
    ("reported", "change"),
    [
        ({}, (Status.ONLINE, Reason.HEARTBEAT)),
        ({"error_rate": 0.49}, (Status.ONLINE, Reason.HEARTBEAT)),
        ({"error_rate": 0.5}, (Status.DEGRADED, Reason.ERROR_RATE)),
        ({"wedged": True}, (Status.DEGRADED, Reason.WEDGED)),
    ],
)
def test_an_agent_that_arrives_is_online_or_degraded_at_once(status, reported, change):
    assert judge_heartbeat(workspace(status, registered_at=NOW), build_heartbeat(**reported)) == change


def test_an_awaited_agent_arrives_only_after_it_registered():
    assert judge_heartbeat(workspace(Status.AWAITING_AGENT, registered_at=None), build_heartbeat()) is None


@pytest.mark.parametrize(
    "status", [Status.PAUSED, Status.HIBERNATING, Status.HIBERNATED, Status.FAILED, Status.REMOVED]
)
def test_no_heartbeat_changes_the_status_of_a_stopped_agent(status):
    before = workspace(status, registered_at=NOW, register_failed_at=NOW)

    assert judge_heartbeat(before, build_heartbeat()) is None
    assert judge_heartbeat(before, build_heartbeat(wedged=True, error_rate=1.0)) is None


@pytest.mark.parametrize(
    ("fields", "reported", "change"),
    [
        ({}, {}, None),
        ({}, {"wedged": True, "error_rate": 1.0}, (Status.DEGRADED, Reason.WEDGED)),
        ({"register_failed_at": NOW}, {"error_rate": 1.0}, (Status.DEGRADED, Reason.ERROR_RATE)),
        ({"register_failed_at": NOW}, {}, (Status.DEGRADED, Reason.REGISTER_FAILED)),
        (
            {"register_failed_at": NOW - timedelta(minutes=5) + timedelta(microseconds=1)},
            {},
            (Status.DEGRADED, Reason.REGISTER_FAILED),
        ),
        ({"register_failed_at": NOW - timedelta(minutes=5)}, {}, None),
        ({"declarations": OWN_JUDGEMENT}, {"error_rate": 1.0}, None),
        ({"status_reason": Reason.EXTERNAL_CREATED}, {}, (Status.ONLINE, Reason.HEARTBEAT)),
        (
            {"status_reason": Reason.EXTERNAL_CREATED, "register_failed_at": NOW},
            {},
            (Status.DEGRADED, Reason.REGISTER_FAILED),
        ),
    ],
)
def test_the_first_matching_rule_judges_an_online_agent(fields, reported, change):
    assert judge_heartbeat(workspace(**fields), build_heartbeat(**reported)) == change


@pytest.mark.parametrize(
    ("fields", "reported", "has_recovered"),
    [
        ({}, {}, True),
        ({}, {"error_rate": 0.099}, True),
        ({}, {"error_rate": 0.1}, False),
        ({}, {"wedged": True}, False),
        ({"register_failed_at": NOW}, {}, False),
        ({"register_failed_at": NOW - timedelta(minutes=5) + timedelta(microseconds=1)}, {}, False),
        ({"register_failed_at": NOW - timedelta(minutes=5)}, {}, True),
        ({"declarations": OWN_JUDGEMENT}, {}, False),
    ],
)
def test_a_degraded_agent_recovers_only_without_any_fault(fields, reported, has_recovered):
    change = judge_heartbeat(workspace(Status.DEGRADED, **fields), build_heartbeat(**reported))

    assert change == ((Status.ONLINE, Reason.RECOVERED) if has_recovered else None)
