"""The status machine is the table of docs/spec/rest.md, section 7: every row happens, and nothing else does."""

import itertools
import re
from datetime import timedelta
from pathlib import Path

import pytest

from services.registry.workspace import events
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
from services.registry.workspace.health import apply_heartbeat
from services.registry.workspace.model import EXTERNAL, Reason, Status, Vitals, Workspace
from services.registry.workspace.state_machine import next_state
from tests.registry.strategies import ALWAYS_HEARING, FACTS_BY_TYPE, NOW, TIMEOUTS

DOCUMENT = Path(__file__).parents[3] / "docs" / "spec" / "rest.md"

BEFORE = Reason.CREATED
"""Why a workspace has its status before anything happens here: no fact brings this reason, so it shows what is kept."""

UNCHANGED = "unchanged"

LIMIT = timedelta(minutes=10)


# The document ────────────────────────────────────────────────────────────────


def rows():
    """The cells of each row of the table."""
    section = DOCUMENT.read_text().partition("\n## 7. ")[2].partition("\n## 8. ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == [
        "From",
        "To",
        "Trigger; guard",
        "`status_reason`",
        "Stored event",
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def statuses(cell):
    """The statuses that a cell names, without what stands in brackets; or all but those it names."""
    plain = re.sub(r"\(.*?\)", "", cell)
    named = [Status(word) for word in re.findall(r"[a-z_]+", plain) if word in set(Status)]
    return [status for status in Status if status not in named] if plain.startswith("any but") else named


def documented():
    """Every (from, to, reason, event) that the table tells of workspaces that exist."""
    found = set()
    for was, to, _, reason, event in rows():
        after_it = [Status.ONLINE, Status.DEGRADED] if to == "status before" else statuses(to)
        told = re.findall(r"WORKSPACE_[A-Z_]+", event)
        reasons = [UNCHANGED] if reason == UNCHANGED else re.findall(r"`(\w+)`", reason)
        assert len(told) == len(after_it), (was, to, event)
        for each, why, (there, kind) in itertools.product(statuses(was), reasons, zip(after_it, told, strict=True)):
            found.add((each.value, there.value, why, kind))
    return found


# The machine ─────────────────────────────────────────────────────────────────


def workspaces(status):
    """Workspaces of this status that differ in all that a guard asks for."""
    choices = itertools.product(
        ("echo", EXTERNAL),
        (None, NOW - LIMIT),
        (None, NOW),
        ("", "http://ada.example"),
        (Status.ONLINE, Status.DEGRADED),
        (Reason.DELETED, Reason.COLLAPSED),
    )
    for runtime, registered_at, register_failed_at, url, former, removal in choices:
        yield Workspace(
            id="w",
            org_id="w",
            name="ada",
            runtime=runtime,
            status=status,
            status_reason=BEFORE,
            status_since=NOW - LIMIT,
            created_at=NOW - LIMIT,
            generation=1,
            backend="process",
            provision_deadline=NOW,
            registered_at=registered_at,
            register_failed_at=register_failed_at,
            url=url,
            former_status=former,
            removal_reason=removal,
            vitals=Vitals(last_seen=NOW - LIMIT),
        )


FACTS = [
    ExternalCreated(at=NOW),
    Registered(at=NOW),
    *[
        HeartbeatReceived(at=NOW, wedged=wedged, error_rate=rate)
        for wedged in (False, True)
        for rate in (0.0, 0.3, 0.5)
    ],
    HeartbeatMissed(at=NOW, timeouts=TIMEOUTS, hearing=ALWAYS_HEARING),
    InstanceStarted(at=NOW, backend="process", address="http://127.0.0.1:2", reference="r"),
    InstanceSkipped(at=NOW, backend="none"),
    InstanceExited(at=NOW),
    InstanceStopped(at=NOW),
    StopFailed(at=NOW, text="stuck"),
    ProvisioningFailed(at=NOW, error="provisioning failed"),
    ProvisioningPossible(at=NOW),
    ProvisioningTimedOut(at=NOW),
    ProvisioningCancelled(at=NOW),
    BootstrapFailed(at=NOW, error="no"),
    UpstreamDead(at=NOW),
    *[
        RestartRequested(at=NOW, generation=1, reason=why, limit=LIMIT)
        for why in (Reason.RESTART_REQUESTED, Reason.AUTO_RESTART)
    ],
    PauseRequested(at=NOW),
    ResumeRequested(at=NOW, limit=LIMIT),
    *[HibernateRequested(at=NOW, reason=why) for why in (Reason.HIBERNATE_REQUESTED, Reason.IDLE)],
    IdleCheckBegun(at=NOW),
    IdleCheckEnded(at=NOW),
    Removed(at=NOW),
]


def happening():
    """Every (from, to, reason, event) that some fact brings about in some workspace."""
    found = set()
    for status, fact in itertools.product(Status, FACTS):
        for workspace in workspaces(status):
            before = apply_heartbeat(workspace, fact) if isinstance(fact, HeartbeatReceived) else workspace
            now = next_state(before, fact)
            if (now.status, now.status_reason, now.generation) == (before.status, BEFORE, before.generation):
                continue
            reason = UNCHANGED if now.status_reason is BEFORE else now.status_reason.value
            found.add((status.value, now.status.value, reason, told(before, now, fact)))
    return found


def told(before, now, fact):
    """The type of the event, where there is exactly one."""
    if isinstance(fact, Registered):
        return events.build_registration_event(now, {}).type.value
    [notice] = events.build_change_events(before, now, fact)
    assert notice.payload["status"] == now.status
    return notice.type.value


# Both ────────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-36", "BEY-13")
def test_every_row_of_the_table_happens():
    assert documented() - happening() == set()


@pytest.mark.covers("REG-36", "BEY-13")
def test_no_change_happens_that_the_table_does_not_list():
    assert happening() - documented() == set()


def test_a_workspace_begins_as_the_table_says():
    [first] = [row for row in rows() if row[0] == "-"]
    [workspace, *_] = workspaces(Status.PROVISIONING)

    assert [first[1], first[3], first[4]] == [
        Status.PROVISIONING.value,
        f"`{Reason.CREATED.value}`",
        events.build_creation_event(workspace).type.value,
    ]


def test_the_table_lists_every_status_and_every_reason():
    section = DOCUMENT.read_text().partition("\n## 7. ")[2]
    listed = re.search(r"Ten statuses: ([a-z_, ]+)\.", section)

    assert listed[1].split(", ") == [status.value for status in Status]
    assert {word for row in rows() for word in re.findall(r"`(\w+)`", row[3])} == {reason.value for reason in Reason}


def test_every_kind_of_fact_is_tested():
    assert {type(fact) for fact in FACTS} == set(FACTS_BY_TYPE)
