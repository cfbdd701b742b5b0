"""Facts are applied in one place, and a request for a new instance names the generation that it replaces."""

import ast
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.registry.lifecycle import transitions
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import InstanceExited, PauseRequested, RestartRequested
from services.registry.workspace.model import Reason, Status
from tests.registry.conftest import ADMIN

LIFECYCLE = Path(__file__).parents[3] / "services" / "registry" / "lifecycle"


def test_a_restart_request_without_its_generation_cannot_be_built(clock):
    with pytest.raises(TypeError, match="generation"):
        RestartRequested(at=clock.now(), reason=Reason.WAKE, limit=timedelta(minutes=1))


async def test_every_restart_request_of_the_plane_names_the_current_generation(registry):
    workspace = replace(await registry.online(), generation=7)

    for reason in (Reason.WAKE, Reason.AUTO_RESTART, Reason.RESTART_REQUESTED):
        assert registry.renewal.build_restart_fact(workspace, reason).generation == 7


def test_only_transitions_saves_what_the_state_machine_decides():
    callers = {
        path.name
        for path in LIFECYCLE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "build_change_events"
    }

    assert callers == {"transitions.py"}


async def test_a_fact_that_changes_nothing_saves_nothing(registry):
    workspace = await registry.online()
    async with registry.store.begin() as tx:
        before = await tx.get(workspace.id, lock=True)
        stale = InstanceExited(at=registry.clock.now(), generation=workspace.generation - 1)
        assert transitions.apply(tx, before, stale) is before

    assert (await registry.get(workspace.id)).revision == workspace.revision


async def test_a_change_raises_the_revision_once_and_publishes_its_event(registry):
    workspace = await registry.online()
    async with registry.store.begin() as tx:
        before = await tx.get(workspace.id, lock=True)
        transitions.apply(tx, before, PauseRequested(at=registry.clock.now()))

    now = await registry.get(workspace.id)
    last = (await registry.events(workspace.id))[-1]
    assert (now.status, last.type, now.status_event_id) == (Status.PAUSED, "WORKSPACE_PAUSED", last.event_id)
    assert now.revision > workspace.revision


async def test_only_changed_workspaces_get_an_audit_record(registry):
    one, other = await registry.online("one"), await registry.online("other")
    async with registry.store.begin() as tx:
        found = [await tx.get(workspace.id, lock=True) for workspace in (one, other)]
        stale = PauseRequested(at=registry.clock.now(), generation=other.generation + 1)
        facts = [(found[0], PauseRequested(at=registry.clock.now())), (found[1], stale)]
        changed = await transitions.apply_for_caller(tx, ADMIN, AuditAction.PAUSED, facts)

    async with registry.store.begin() as tx:
        records = await tx.audit_outbox.list_oldest(500)
    assert [workspace.id for workspace in changed] == [one.id]
    assert [record.workspace_id for record in records if record.action == AuditAction.PAUSED] == [one.id]
