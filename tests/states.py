"""Lists every change of a workspace's status with the state machine: `python -m tests.states` writes docs/states.md."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

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
from services.registry.workspace.model import EXTERNAL, Reason, Status, Vitals, Workspace
from services.registry.workspace.state_machine import next_state
from services.registry.workspace.status_texts import STATUS_DETAILS

PAGE = Path("docs/states.md")

NOW = datetime(2026, 1, 1, tzinfo=UTC)

YESTERDAY = NOW - timedelta(days=1)

MINUTE = timedelta(minutes=1)

ALWAYS_HEARING = Hearing(since=YESTERDAY, until=NOW + timedelta(days=1))

FACTS: tuple[Fact, ...] = (
    ExternalCreated(at=NOW),
    Registered(at=NOW),
    HeartbeatReceived(at=NOW),
    HeartbeatReceived(at=NOW, wedged=True),
    HeartbeatReceived(at=NOW, error_rate=1.0),
    HeartbeatMissed(at=NOW, timeouts=LivenessTimeouts(managed=MINUTE, external=MINUTE), hearing=ALWAYS_HEARING),
    InstanceStarted(at=NOW, backend="process", address="", reference=""),
    InstanceSkipped(at=NOW, backend="none"),
    InstanceExited(at=NOW),
    InstanceStopped(at=NOW),
    StopFailed(at=NOW, text=""),
    ProvisioningFailed(at=NOW, error=""),
    ProvisioningPossible(at=NOW),
    ProvisioningTimedOut(at=NOW),
    ProvisioningCancelled(at=NOW),
    BootstrapFailed(at=NOW, error=""),
    UpstreamDead(at=NOW),
    RestartRequested(at=NOW, generation=1, reason=Reason.RESTART_REQUESTED, limit=MINUTE),
    RestartRequested(at=NOW, generation=1, reason=Reason.AUTO_RESTART, limit=MINUTE),
    PauseRequested(at=NOW),
    ResumeRequested(at=NOW, limit=MINUTE),
    HibernateRequested(at=NOW, reason=Reason.HIBERNATE_REQUESTED),
    HibernateRequested(at=NOW, reason=Reason.IDLE),
    IdleCheckBegun(at=NOW),
    IdleCheckEnded(at=NOW),
    Removed(at=NOW),
)
"""Every kind of fact, in each variant that has its own meaning."""

INTRODUCTION = """\
# The statuses of a workspace

Written by `make states` from the state machine (`services/registry/workspace/state_machine.py`) and its texts
(`services/registry/workspace/status_texts.py`); a test compares it with them. `molecule status` and `GET /workspaces`
show status and reason, `GET /events` every change. `GET /workspaces` also shows the text for people with the cause
(`status_detail`), the age (`status_since`), and of an instance that ended by itself how often (`restart_count`) and how
it ended last (`last_exit`). What each change needs besides is in [the contract](spec/rest.md), section 7.
"""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Change:
    """One change from a status to another, or to the same status with a new instance."""

    before: Status
    to: Status
    reason: Reason
    cause: str


def list_changes() -> list[Change]:
    """Return every change that any fact causes in any workspace."""
    found = {
        Change(before=before.status, to=now.status, reason=now.status_reason, cause=_get_first_sentence(fact))
        for before, fact in product(_workspaces(), FACTS)
        if (now := next_state(before, fact)).status is not before.status or now.generation != before.generation
    }
    return sorted(found, key=lambda change: (_place(change.before), _place(change.to), change.reason, change.cause))


def render_page() -> str:
    """Render the whole page."""
    found = list_changes()
    return "\n".join([INTRODUCTION, *_diagram(found), "", *_reasons(found), "", *_table(found)]) + "\n"


def _workspaces() -> list[Workspace]:
    """Return a workspace in each status and of each kind that the state machine distinguishes."""
    return [
        replace(_workspace(status, vitals), **kind)
        for status, vitals, kind in product(
            Status,
            (Vitals(last_seen=NOW), Vitals(last_seen=YESTERDAY)),
            (
                {},
                {"register_failed_at": NOW},
                {"former_status": Status.DEGRADED, "status_reason": Reason.IDLE},
                {"removal_reason": Reason.COLLAPSED},
                {"runtime": EXTERNAL, "generation": 0, "backend": "", "url": ""},
                {"runtime": EXTERNAL, "generation": 0, "backend": "", "registered_at": YESTERDAY},
            ),
        )
    ]


def _workspace(status: Status, vitals: Vitals) -> Workspace:
    return Workspace(
        id="w",
        org_id="w",
        name="ada",
        runtime="echo",
        status=status,
        status_reason=Reason.HIBERNATE_REQUESTED,
        status_since=YESTERDAY,
        created_at=YESTERDAY,
        generation=1,
        backend="process",
        url="http://ada.example",
        provision_deadline=NOW,
        vitals=vitals,
    )


def _get_first_sentence(fact: Fact) -> str:
    """Return the first sentence of the fact's docstring."""
    return " ".join((type(fact).__doc__ or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def _diagram(found: list[Change]) -> list[str]:
    """Draw the changes between statuses; removal, which is possible in every status, is left out."""
    reasons: dict[tuple[Status, Status], set[Reason]] = defaultdict(set)
    for change in found:
        if change.to not in {Status.REMOVED, change.before}:
            reasons[change.before, change.to].add(change.reason)
    arrows = [f"    {before} --> {to}: {', '.join(sorted(why))}" for (before, to), why in reasons.items()]
    return ["```mermaid", "stateDiagram-v2", "    [*] --> provisioning: created", *arrows, "```"]


def _reasons(found: list[Change]) -> list[str]:
    """List each reason with its statuses."""
    gives: dict[Reason, set[Status]] = defaultdict(set, {Reason.CREATED: {Status.PROVISIONING}})
    for change in found:
        gives[change.reason].add(change.to)
    rows = [f"| `{reason}` | {_list(gives[reason])} | {STATUS_DETAILS[reason]} |" for reason in Reason]
    return ["## Reasons", "", "| Reason | Status | Text for people |", "|---|---|---|", *rows]


def _table(found: list[Change]) -> list[str]:
    """List the changes; those that differ only in their first status share a row."""
    begins: dict[tuple[Status, Reason, str], set[Status]] = defaultdict(set)
    for change in found:
        begins[change.to, change.reason, change.cause].add(change.before)
    rows = [
        f"| {_list(before)} | {cause} | {to} | `{reason}` |"
        for (to, reason, cause), before in sorted(begins.items(), key=lambda row: (_place(row[0][0]), row[0]))
    ]
    heading = ["## Changes", "", "Nothing leads out of `removed`; what is not listed changes nothing.", ""]
    return [*heading, "| From | What happens | To | Reason |", "|---|---|---|---|", *rows]


def _list(statuses: set[Status]) -> str:
    return ", ".join(sorted(statuses, key=_place))


def _place(status: Status) -> int:
    return list(Status).index(status)


if __name__ == "__main__":
    PAGE.write_text(render_page())
